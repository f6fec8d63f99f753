"""The rows of a tile store, and what a database knows of tiles, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from ...domain.errors import ContentHashMismatchError
from ...domain.policies.voting import check_voting_step
from ...domain.values.tile_grid import Bbox, GridRange
from ...domain.values.tile_names import ZERO_UUID
from ...domain.values.tile_rules import is_pending_upload, may_be_evicted
from ...domain.values.tiles import (
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    VotingStatus,
    check_aware_utc,
)
from .tile_table import MemoryTileTable


class MemoryTileRows(MemoryTileTable):
    """`TileRows` and `TileMetadataStore` in one, for tests and small tools; nothing survives the process."""

    def get_by_id(self, tile_id: TileId) -> TileMetadataPersistent | None:
        """See `TileMetadataStore`."""
        return self.get(tile_id)

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> list[TileMetadataPersistent]:
        """See `TileMetadataStore`. Raises `ValueError` for a zoom outside 0..22."""
        span = GridRange.covering(bbox, zoom_level)
        found = [
            tile
            for tile in self.committed()
            if tile.tile_id.zoom_level == zoom_level
            and span.min_x <= tile.tile_id.x <= span.max_x
            and span.min_y <= tile.tile_id.y <= span.max_y
        ]
        return sorted(found, key=lambda tile: _grid_order(tile.tile_id))

    def insert_metadata(self, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileMetadataStore`."""
        with self.insert(metadata, self._now()) as row:
            return row.commit()

    def update_voting_status(self, tile_id: TileId, status: VotingStatus) -> TileMetadataPersistent:
        """See `TileMetadataStore`."""
        with self._answering():
            check_voting_step(self._known(tile_id).voting_status, status)
            return self._change(tile_id, voting_status=status)

    def mark_uploaded(self, tile_id: TileId, uploaded_at: datetime, content_sha256: str) -> None:
        """See `TileMetadataStore`; the first upload's time stays."""
        check_aware_utc(uploaded_at, "uploaded_at")
        with self._answering():
            tile = self._known(tile_id)
            if tile.content_sha256 != content_sha256:
                raise ContentHashMismatchError(
                    "uploaded SHA-256", expected=tile.content_sha256, actual=content_sha256, tile_id=tile_id
                )
            if tile.uploaded_at is None:
                self._change(tile_id, uploaded_at=uploaded_at)

    def pending_uploads(self, limit: int) -> list[TileMetadataPersistent]:
        """See `TileMetadataStore`. Raises `ValueError` for a limit below 1."""
        pending = [tile for tile in self.committed() if is_pending_upload(tile)]
        return _first(limit, pending, key=lambda tile: tile.created_at)

    def record_lru_access(self, accesses: Mapping[TileId, datetime]) -> None:
        """See `TileMetadataStore`."""
        for accessed_at in accesses.values():
            check_aware_utc(accessed_at, "accessed_at")
        with self._answering():
            for tile_id, accessed_at in accesses.items():
                tile = self._committed.get(tile_id)
                if tile is not None and tile.accessed_at < accessed_at:
                    self._change(tile_id, accessed_at=accessed_at)

    def lru_candidates(self, limit: int) -> list[TileMetadataPersistent]:
        """See `TileMetadataStore`. Raises `ValueError` for a limit below 1."""
        candidates = [tile for tile in self.committed() if may_be_evicted(tile)]
        return _first(limit, candidates, key=lambda tile: tile.accessed_at)

    def total_disk_bytes(self) -> int:
        """See `TileMetadataStore`."""
        with self._answering():
            return self._total_bytes

    def increment_upload_attempts(self, tile_id: TileId) -> int:
        """See `TileMetadataStore`. Raises `TileNotFoundError`."""
        with self._answering():
            attempts = self._known(tile_id).upload_attempts + 1
            return self._change(tile_id, upload_attempts=attempts).upload_attempts

    def set_pinned(self, tile_id: TileId, pinned: bool) -> None:
        """Keep a tile from being evicted, or let it go again. Raises `TileNotFoundError`."""
        with self._answering():
            self._known(tile_id)
            self._change(tile_id, pinned=pinned)


def _grid_order(tile_id: TileId) -> tuple[int, int, str, int]:
    return tile_id.x, tile_id.y, tile_id.source.value, (tile_id.flight_id or ZERO_UUID).int


def _first(
    limit: int, tiles: list[TileMetadataPersistent], *, key: Callable[[TileMetadataPersistent], datetime]
) -> list[TileMetadataPersistent]:
    """The first `limit` by `key`; the sort is stable, so rows of one time stay in order of insertion."""
    if limit < 1:
        raise ValueError(f"limit must be 1 or more, got {limit!r}")
    return sorted(tiles, key=key)[:limit]
