"""What a tile's facts permit: each rule once, as a predicate over a committed row.

SQL states the same rules in `adapters.postgres.predicates`, the catalogue in a bit of a row's flags. One test
compares all of them over every combination of facts: tests/contract/test_tile_rules.py.
"""

from __future__ import annotations

from .tiles import TileMetadataPersistent, TileSource, VotingStatus

UPLOAD_ENDED = frozenset({VotingStatus.REJECTED, VotingStatus.UPLOAD_GIVEUP})
"""The votes after which a tile is not sent to the provider any more."""


def is_pending_upload(tile: TileMetadataPersistent) -> bool:
    """An onboard tile is pending for upload until it is uploaded, rejected or given up."""
    return (
        tile.tile_id.source is TileSource.ONBOARD
        and tile.uploaded_at is None
        and tile.voting_status not in UPLOAD_ENDED
    )


def may_be_evicted(tile: TileMetadataPersistent) -> bool:
    """Any tile may be evicted, unless it is pinned or pending for upload."""
    return not tile.pinned and not is_pending_upload(tile)
