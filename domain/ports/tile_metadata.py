"""The database's knowledge of tiles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from ..values.tile_grid import Bbox
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent, VotingStatus


@runtime_checkable
class TileMetadataStore(Protocol):
    """The database's knowledge of tiles. Every method raises `StoreUnavailableError` when it can't answer.

    A method waits at most `database.connect_timeout_s` seconds for a connection, and for each answer
    `database.statement_timeout_s` more.
    """

    def get_by_id(self, tile_id: TileId) -> TileMetadataPersistent | None:
        """The tile's row, or None."""

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> list[TileMetadataPersistent]:
        """Tiles of one zoom that cover a point of `bbox`, ordered by x, y, source, flight."""

    def insert_metadata(self, metadata: TileMetadata) -> TileMetadataPersistent:
        """Add a committed row without a file (imports and tests). Raises `DuplicateTileError`."""

    def update_voting_status(self, tile_id: TileId, status: VotingStatus) -> TileMetadataPersistent:
        """Move the vote forward. Raises `TileNotFoundError`, or `TileMetadataError` for a step back."""

    def mark_uploaded(self, tile_id: TileId, uploaded_at: datetime, content_sha256: str) -> None:
        """Record that the provider holds this content; a second call with the same hash does nothing.

        Raises `TileNotFoundError`, or `ContentHashMismatchError` when our row holds other content.
        """

    def pending_uploads(self, limit: int) -> list[TileMetadataPersistent]:
        """The tiles that are pending for upload (`tile_rules.is_pending_upload`), oldest first."""

    def record_lru_access(self, accesses: Mapping[TileId, datetime]) -> None:
        """Record when tiles were last read, in one batch. Unknown tiles are ignored; no time goes back."""

    def lru_candidates(self, limit: int) -> list[TileMetadataPersistent]:
        """The tiles that may be evicted (`tile_rules.may_be_evicted`), least recently used first."""

    def total_disk_bytes(self) -> int:
        """The sum of `disk_bytes` over committed rows, read as one number."""

    def increment_upload_attempts(self, tile_id: TileId) -> int:
        """Count one refused upload and return the new count."""
        raise NotImplementedError


@runtime_checkable
class SupportsPins(Protocol):
    """Pins, which keep tiles from eviction.

    Every method raises `StoreUnavailableError` when the database can't answer.
    """

    def set_pinned(self, tile_id: TileId, pinned: bool) -> None:
        """Pin a tile, which is then never evicted, or lift its pin.

        Raises `TileNotFoundError`, and `ValueError` for what is no truth value.
        """

    def pinned_tiles(self) -> list[TileId]:
        """The pinned tiles, ordered by zoom, x, y, source, flight."""
