"""The provider's verdicts move votes forward, once, whatever order and pages they come in."""

from __future__ import annotations

from datetime import datetime, timezone
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.uploads.pull_votes import ProviderVote, PulledVotes, VotesPage, pull_votes
from aerotile.domain.values.tiles import TileId, TileSource, VotingStatus
from aerotile.domain.values.upload_reports import ProblemKind, UploadProblem, UploadReason

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
URL = "https://provider.example"
FLIGHT = UUID(int=7)
TILES = [TileId(4, x, 0, TileSource.ONBOARD, FLIGHT) for x in range(3)]
PROBLEM = UploadProblem(kind=ProblemKind.BUSY, reason=UploadReason("http_503", "later"))


def vote(number: int, verdict: str) -> ProviderVote:
    return ProviderVote(TILES[number].tile_uuid, verdict)


@attrs.define
class Cursors:
    """Cursors in memory, for tiles that are all known."""

    kept: str | None = None

    def vote_cursor(self, provider_url: str) -> str | None:
        assert provider_url == URL
        return self.kept

    def keep_vote_cursor(self, provider_url: str, cursor: str, at: datetime) -> None:
        self.kept = cursor

    def tile_named(self, tile_uuid: UUID) -> TileId | None:
        return next((tile for tile in TILES if tile.tile_uuid == tile_uuid), None)


@attrs.define
class Pages:
    """A provider's votes in pages of `size`; a cursor is the number of votes before it."""

    votes: list[ProviderVote]
    size: int = 2
    fails_after: str | None = "never"
    asked: list[str | None] = attrs.field(factory=list)

    def read_page(self, after: str | None) -> VotesPage:
        self.asked.append(after)
        assert len(self.asked) < 100
        if after == self.fails_after:
            return VotesPage(problem=PROBLEM)
        end = int(after or 0) + self.size
        return VotesPage(
            tuple(self.votes[int(after or 0) : end]), str(end) if end < len(self.votes) else None
        )


@attrs.define
class Scenario:
    """Three pending tiles, and where the reading of votes stands."""

    rows: MemoryTileRows = attrs.field(factory=MemoryTileRows)
    cursors: Cursors = attrs.field(factory=Cursors)

    def __attrs_post_init__(self) -> None:
        for tile_id in TILES:
            self.rows.insert_metadata(
                example_metadata(tile_id, b"a", captured_at=NOON, voting_status=VotingStatus.PENDING)
            )

    def pull(self, source: Pages) -> PulledVotes:
        return pull_votes(URL, source=source, cursor=self.cursors, votes=self.rows, clock=ManualClock(NOON))

    @property
    def statuses(self) -> list[str | None]:
        rows = (self.rows.get(tile_id) for tile_id in TILES)
        return [row.voting_status.value if row and row.voting_status else None for row in rows]


def test_every_page_is_read_and_the_next_pull_goes_on_from_the_last_whole_one() -> None:
    scenario = Scenario()
    source = Pages([vote(0, "trusted"), vote(1, "rejected"), vote(2, "trusted")])
    assert scenario.pull(source) == PulledVotes(read=3, moved=3, unknown=0)
    assert scenario.statuses == ["trusted", "rejected", "trusted"]
    source.votes.append(vote(2, "rejected"))
    assert scenario.pull(source) == PulledVotes(read=2, moved=1, unknown=0)
    assert source.asked == [None, "2", "2"]
    assert scenario.statuses[2] == "rejected"


def test_a_problem_ends_the_pull_and_what_was_read_stays_applied() -> None:
    scenario = Scenario()
    source = Pages([vote(0, "trusted"), vote(1, "trusted"), vote(2, "trusted")], fails_after="2")
    assert scenario.pull(source) == PulledVotes(read=2, moved=2, unknown=0, problem=PROBLEM)
    source.fails_after = "never"
    assert scenario.pull(source) == PulledVotes(read=1, moved=1, unknown=0)


def test_verdicts_on_strangers_and_newer_verdicts_are_counted_and_passed_over() -> None:
    scenario = Scenario()
    strange = ProviderVote(UUID(int=1), "trusted")
    assert scenario.pull(Pages([strange, vote(0, "excellent")])) == PulledVotes(read=2, moved=0, unknown=2)
    assert scenario.statuses == ["pending"] * 3


def test_a_given_up_tile_is_not_revived_by_a_verdict() -> None:
    scenario = Scenario()
    scenario.rows.update_voting_status(TILES[0], VotingStatus.UPLOAD_GIVEUP)
    assert scenario.pull(Pages([vote(0, "trusted")])).moved == 0
    assert scenario.statuses[0] == "upload_giveup"


@pytest.mark.parametrize(
    "page", [VotesPage((vote(0, "trusted"),), "0"), VotesPage((), "9")], ids=["still", "empty"]
)
def test_a_cursor_that_leads_nowhere_is_not_followed_for_ever(page: VotesPage) -> None:
    class Circling(Pages):
        def read_page(self, after: str | None) -> VotesPage:
            super().read_page(after)
            return page

    scenario = Scenario(cursors=Cursors("0"))
    assert scenario.pull(Circling([])).problem is None


def test_cursors_that_lead_back_to_one_another_are_not_followed_for_ever() -> None:
    class Circling(Pages):
        def read_page(self, after: str | None) -> VotesPage:
            super().read_page(after)
            return VotesPage((vote(0, "trusted"),), "2" if after == "1" else "1")

    source = Circling([])
    assert Scenario().pull(source) == PulledVotes(read=3, moved=1, unknown=0)
    assert source.asked == [None, "1", "2"]


@given(
    st.lists(st.builds(vote, st.integers(0, 2), st.sampled_from(["trusted", "rejected", "odd"]))),
    st.integers(1, 4),
)
def test_pulling_twice_is_pulling_once_and_rejected_is_final(votes: list[ProviderVote], size: int) -> None:
    scenario = Scenario()
    scenario.pull(Pages(votes, size))
    once = scenario.statuses
    scenario.cursors.kept = None
    scenario.pull(Pages(votes, size))
    assert scenario.statuses == once
    for number, status in enumerate(once):
        if vote(number, "rejected") in votes:
            assert status == "rejected"
