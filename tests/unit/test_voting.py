"""Votes move forward only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.errors import TileMetadataError
from aerotile.domain.policies.voting import check_voting_step, may_move
from aerotile.domain.values.tiles import VotingStatus

PENDING, TRUSTED = VotingStatus.PENDING, VotingStatus.TRUSTED
REJECTED, GIVEUP = VotingStatus.REJECTED, VotingStatus.UPLOAD_GIVEUP
FORWARD = {(PENDING, TRUSTED), (PENDING, REJECTED), (PENDING, GIVEUP), (TRUSTED, REJECTED), (TRUSTED, GIVEUP)}


@pytest.mark.parametrize("current", list(VotingStatus))
@pytest.mark.parametrize("new", list(VotingStatus))
def test_exactly_the_steps_of_the_specification_are_allowed(current: VotingStatus, new: VotingStatus) -> None:
    assert may_move(current, new) == (current is new or (current, new) in FORWARD)


def test_a_tile_without_a_vote_may_take_any() -> None:
    assert all(may_move(None, status) for status in VotingStatus)


@given(st.lists(st.sampled_from(VotingStatus), min_size=2, max_size=8))
def test_no_path_of_allowed_steps_ever_returns(path: list[VotingStatus]) -> None:
    walked = [path[0]]
    for status in path[1:]:
        if may_move(walked[-1], status) and status is not walked[-1]:
            walked.append(status)
    assert len(set(walked)) == len(walked)


def test_a_step_back_is_refused_by_name() -> None:
    with pytest.raises(TileMetadataError, match="from trusted to pending"):
        check_voting_step(TRUSTED, PENDING)
