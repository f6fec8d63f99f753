"""What a tile's facts permit: each rule once, as a predicate."""

from __future__ import annotations

from .tiles import TileMetadataPersistent, TileSource, VotingStatus


def may_be_evicted(tile: TileMetadataPersistent) -> bool:
    """Whether a tile can be had again: not pinned, and not an onboard tile that exists only here."""
    if tile.pinned:
        return False
    if tile.tile_id.source is not TileSource.ONBOARD:
        return True
    return tile.uploaded_at is not None or tile.voting_status is VotingStatus.UPLOAD_GIVEUP
