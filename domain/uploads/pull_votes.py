"""Pull the provider's verdicts on earlier tiles, and move our votes forward by them."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Protocol
from uuid import UUID

import attrs

from ..errors import TileMetadataError, TileNotFoundError
from ..ports.clock import Clock
from ..ports.tile_metadata import TileMetadataStore
from ..values.tiles import TileId, VotingStatus
from ..values.upload_reports import UploadProblem

_log = logging.getLogger("aerotile.votes")

_VERDICTS = {"trusted": VotingStatus.TRUSTED, "rejected": VotingStatus.REJECTED}


@attrs.frozen
class ProviderVote:
    """One verdict as the provider sent it; `verdict` may be newer than this code."""

    tile_uuid: UUID
    verdict: str
    reason: str = ""


@attrs.frozen
class VotesPage:
    """Verdicts, oldest first, or the problem that left the request unanswered."""

    votes: tuple[ProviderVote, ...] = ()
    next_cursor: str | None = None
    """Where the next page begins; None when there is no further page for now."""
    problem: UploadProblem | None = None


class VoteSource(Protocol):
    """The provider's verdicts."""

    def read_page(self, after: str | None) -> VotesPage:
        """The page after a cursor, or the first one. A failed request is the page's problem, not an error."""


class VoteCursor(Protocol):
    """How far the verdicts were read, durably. Every method raises `StoreUnavailableError`."""

    def vote_cursor(self, provider_url: str) -> str | None: ...

    def keep_vote_cursor(self, provider_url: str, cursor: str, at: datetime) -> None: ...

    def tile_named(self, tile_uuid: UUID) -> TileId | None: ...


@attrs.frozen(kw_only=True)
class PulledVotes:
    """The result of a pull."""

    read: int
    moved: int
    """Tiles whose vote changed."""
    unknown: int
    """Verdicts on tiles without a row here, and verdicts that this code does not know."""
    problem: UploadProblem | None = None
    """The problem that ended the pull early; the next pull goes on from the last whole page."""


def pull_votes(
    provider_url: str, *, source: VoteSource, cursor: VoteCursor, votes: TileMetadataStore, clock: Clock
) -> PulledVotes:
    """Read every new verdict and apply it; a page is applied whole before its cursor is stored.

    A verdict that is read twice changes nothing, so a crash costs one page of reading. A verdict that would
    be a step back is passed over. Raises `StoreUnavailableError`.
    """
    read = moved = unknown = 0
    after = cursor.vote_cursor(provider_url)
    followed = {after}
    while True:
        page = source.read_page(after)
        for vote in page.votes:
            read += 1
            tile_id = cursor.tile_named(vote.tile_uuid)
            if tile_id is None or vote.verdict not in _VERDICTS:
                unknown += 1
            elif _apply(votes, tile_id, vote):
                moved += 1
        # A cursor that was followed before, or an empty page, would be followed for ever.
        goes_on = page.next_cursor not in followed and bool(page.votes)
        if page.problem is not None or page.next_cursor is None or not goes_on:
            return PulledVotes(read=read, moved=moved, unknown=unknown, problem=page.problem)
        after = page.next_cursor
        followed.add(after)
        cursor.keep_vote_cursor(provider_url, after, clock.now())


def _apply(votes: TileMetadataStore, tile_id: TileId, vote: ProviderVote) -> bool:
    status = _VERDICTS[vote.verdict]
    before = votes.get_by_id(tile_id)
    if before is None or before.voting_status is status:
        return False
    try:
        votes.update_voting_status(tile_id, status)
    except TileNotFoundError:
        return False
    except TileMetadataError as error:
        _log.info("%s: the provider's verdict %s is passed over: %s", tile_id, vote.verdict, error.explained)
        return False
    _log.info("tile %s is %s by the provider's verdict %s", tile_id, status.value, vote.reason)
    return True
