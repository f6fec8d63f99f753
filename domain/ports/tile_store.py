"""Tiles' pixels, stored durably with their metadata; optional abilities are Protocols of their own.

docs/contracts/ has a page for every port; a test compares its method table with the Protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import attrs

from ..errors import TileCacheError
from ..policies.freshness import FreshnessVerdict
from ..values.catalogue_entries import CatalogueMatches
from ..values.pixels import TilePixelHandle
from ..values.tile_grid import Bbox
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent


@attrs.frozen
class TileWriteOutcome:
    """The outcome of one tile of a batch: `stored`, or refused with `error`."""

    tile_id: TileId
    """Which tile it is."""
    stored: TileMetadataPersistent | None = None
    """The row as it was committed; None for a tile that was refused."""
    error: TileCacheError | None = None
    """What `write_tile` would have raised; None for a tile that was stored."""


@runtime_checkable
class TileStore(Protocol):
    """Tiles' pixels, stored durably with their metadata."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """The tile's JPEG bytes, without a database access.

        A tile that another process wrote is found milliseconds after its commit, while the database answers.
        Raises `TileNotFoundError`, `StoreUnavailableError` when the disk fails, `ReadDeadlineError` when it
        does not answer in time, and `ContentHashMismatchError` where hashes are verified.
        """
        ...

    def write_tile(self, pixels: bytes, metadata: TileMetadata) -> TileMetadataPersistent:
        """Store one tile; durable (file, sidecar and row) when this returns, nothing done when it raises.

        Raises `ContentHashMismatchError`, `TileMetadataError` (no JPEG, duplicate, capture time in the
        future), `FreshnessRejectionError`, `CacheBudgetExhaustedError`, `StoreUnavailableError`.
        """
        ...

    def tile_exists(self, tile_id: TileId) -> bool:
        """Whether the tile is committed, according to this process's catalogue; no database access."""
        ...

    def delete_tile(self, tile_id: TileId) -> int:
        """Remove a tile and return the bytes freed. Handles opened before stay valid.

        Raises `TileNotFoundError`, `StoreUnavailableError`.
        """
        ...


@runtime_checkable
class SupportsLocalReads(Protocol):
    """A store that knows its tiles without asking anybody: what it can read beyond `TileStore`.

    A read-only store implements this and not `SupportsLocalWrites`.
    """

    def read_tile_bytes(self, tile_id: TileId) -> bytes:
        """A copy of the tile's JPEG bytes, without a database access; the tile does not stay open.

        Raises `TileNotFoundError`, `StoreUnavailableError`, `ReadDeadlineError`, `ContentHashMismatchError`
        as `TileStore.read_tile_pixels` does.
        """
        ...

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """`read_tile_pixels`, waiting for the disk at most `timeout_s` seconds; None: without a limit.

        With 0 only tiles that need no disk are read. Raises `ValueError` for a negative time, and
        `TileNotFoundError`, `StoreUnavailableError`, `ReadDeadlineError`, `ContentHashMismatchError` as
        `TileStore.read_tile_pixels` does.
        """
        ...

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """The freshness verdict on a stored tile as of now, without a database access.

        None when the store does not hold the tile.
        """
        ...

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """Tiles of one zoom that cover a point of `bbox`, along the Z-curve, without a database access.

        The tiles are those for which `tile_exists` answers yes. Raises `ValueError` for a zoom outside 0..22.
        """
        ...


@runtime_checkable
class ReadableTiles(SupportsLocalReads, Protocol):
    """Tiles that can be read and not written, such as those of a sealed base."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore.read_tile_pixels`, which raises the same errors, and `BaseUnavailableError`."""
        ...

    def tile_exists(self, tile_id: TileId) -> bool:
        """Whether the tile can be read here. Raises `BaseUnavailableError` for damaged facts of a base."""
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class SupportsLocalWrites(Protocol):
    """A store that owns its tiles: what it can write beyond `TileStore`."""

    def write_tiles(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[TileWriteOutcome]:
        """Store a batch with one commit; outcome i is tile i's. A bad tile never sinks its batch.

        Every tile whose outcome says stored is durable when this returns. Raises `StoreUnavailableError`
        when the batch as a whole could not be committed; then none of it was stored.
        """
        ...

    def evict_tile(self, tile_id: TileId) -> int:
        """Remove a tile that may be evicted according to the database, and return the bytes freed.

        Handles opened before stay valid. Raises `TileNotFoundError` when the tile is not stored or may not be
        evicted (it is pinned, or was made on board and is neither uploaded nor given up),
        `StoreUnavailableError`.
        """
        ...
