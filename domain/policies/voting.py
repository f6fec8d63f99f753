"""The provider's verdict on a tile moves forward only."""

from __future__ import annotations

from ..errors import TileMetadataError
from ..values.tiles import TileId, VotingStatus

_FORWARD: dict[VotingStatus | None, frozenset[VotingStatus]] = {
    None: frozenset(VotingStatus),
    VotingStatus.PENDING: frozenset(
        {VotingStatus.TRUSTED, VotingStatus.REJECTED, VotingStatus.UPLOAD_GIVEUP}
    ),
    VotingStatus.TRUSTED: frozenset({VotingStatus.REJECTED, VotingStatus.UPLOAD_GIVEUP}),
    VotingStatus.REJECTED: frozenset(),
    VotingStatus.UPLOAD_GIVEUP: frozenset(),
}


def may_move(current: VotingStatus | None, new: VotingStatus) -> bool:
    """Whether a vote may go from `current` to `new`; a vote may always stay the same."""
    return current is new or new in _FORWARD[current]


def check_voting_step(current: VotingStatus | None, new: VotingStatus) -> None:
    """Raise `TileMetadataError` unless a vote may go from `current` to `new`."""
    if not may_move(current, new):
        before = "no vote" if current is None else current.value
        raise TileMetadataError(f"a vote can't go back from {before} to {new.value}")


def check_requeue(tile_id: TileId, current: VotingStatus | None) -> None:
    """Raise `TileMetadataError` unless a tile may be requeued: only a given-up tile may.

    A requeue is no step of a vote: it begins the tile's next generation, with `pending` and no attempts.
    """
    if current is not VotingStatus.UPLOAD_GIVEUP:
        raise TileMetadataError(
            f"only a given-up tile can be requeued; the vote of {tile_id} is "
            + ("not begun" if current is None else current.value),
            tile_id=tile_id,
            remedy="aerotile uploads lists the tiles that are given up",
        )
