"""The reference provider's votes: in order, page by page, and forward only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from provider_requests import JPEG, frame, problem, send, tile_header, votes_page

from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.server import ReferenceProvider
from aerotile.adapters.provider.votes import Vote
from aerotile.domain.errors import TileMetadataError
from aerotile.domain.values.tiles import VotingStatus


def test_votes_are_told_in_order_page_by_page(provider: ReferenceProvider) -> None:
    provider.behaviour = Behaviour(
        verdict=VotingStatus.TRUSTED,
        verdicts={UUID(tile_header(2, JPEG)["tile_uuid"]): VotingStatus.REJECTED},
    )
    send(provider, frame(1) + frame(2) + frame(3))
    names = [tile_header(x, JPEG)["tile_uuid"] for x in (1, 2, 3)]
    first = votes_page(provider, limit=2).json()
    second = votes_page(provider, limit=2, after=first["next"]).json()
    assert [vote["tile_uuid"] for vote in first["votes"] + second["votes"]] == names
    assert [vote["verdict"] for vote in first["votes"]] == ["trusted", "rejected"]
    assert second["next"] is None


def test_a_duplicate_gets_no_second_vote(provider: ReferenceProvider) -> None:
    provider.behaviour = Behaviour(verdict=VotingStatus.TRUSTED)
    for _ in range(2):
        send(provider, frame(1))
    assert len(votes_page(provider).json()["votes"]) == 1


def test_a_vote_moves_forward_only(provider: ReferenceProvider) -> None:
    tile = UUID(tile_header(1, JPEG)["tile_uuid"])
    provider.votes.give([Vote(tile, VotingStatus.TRUSTED), Vote(tile, VotingStatus.REJECTED, "blurred")])
    with pytest.raises(TileMetadataError, match="can't go back"):
        provider.votes.give([Vote(tile, VotingStatus.TRUSTED)])
    assert votes_page(provider).json()["votes"][1:] == [
        {"tile_uuid": str(tile), "verdict": "rejected", "reason": "blurred"}
    ]


@pytest.mark.parametrize(
    "parameters", [{"limit": 0}, {"limit": 1001}, {"limit": "ten"}, {"after": "-1"}, {"after": [1, 2]}]
)
def test_a_bad_parameter_is_refused(provider: ReferenceProvider, parameters: dict[str, Any]) -> None:
    assert problem(votes_page(provider, **parameters)) == (400, "bad_parameter")
