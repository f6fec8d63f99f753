"""Tiles' pixels, kept durably with their metadata; optional abilities are small Protocols of their own.

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
from .headroom import Headroom


@attrs.frozen
class TileWriteOutcome:
    """How one tile of a batch ended: `stored`, or refused with `error`."""

    tile_id: TileId
    """Which tile it is."""
    stored: TileMetadataPersistent | None = None
    """The row as it was committed; None for a tile that was refused."""
    error: TileCacheError | None = None
    """What `write_tile` would have raised; None for a tile that was stored."""


@runtime_checkable
class TileStore(Protocol):
    """Tiles' pixels, kept durably with their metadata."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """The tile's JPEG bytes, without a database access.

        A tile that another process wrote is not found until this one has heard of it: milliseconds after its
        commit while the database answers.
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
        """Whether a committed tile is there, as far as this process knows, without a database access."""
        ...

    def delete_tile(self, tile_id: TileId) -> int:
        """Remove a tile and return the bytes freed. Handles opened before stay valid.

        Raises `TileNotFoundError`, `StoreUnavailableError`.
        """
        ...


@runtime_checkable
class SupportsByteRead(Protocol):
    """A store that reads a tile once, without keeping it open."""

    def read_tile_bytes(self, tile_id: TileId) -> bytes:
        """A copy of the tile's JPEG bytes, without a database access.

        Raises `TileNotFoundError`, `StoreUnavailableError`, `ReadDeadlineError`, `ContentHashMismatchError`
        as `TileStore.read_tile_pixels` does.
        """
        ...


@runtime_checkable
class SupportsReadDeadline(Protocol):
    """A store whose reader may say how long it waits for the disk."""

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """`read_tile_pixels`, waiting at most `timeout_s` seconds, or with None as long as the disk takes.

        With 0 only what needs no disk is answered. Raises `ValueError` for a negative time, and
        `TileNotFoundError`, `StoreUnavailableError`, `ReadDeadlineError`, `ContentHashMismatchError` as
        `TileStore.read_tile_pixels` does.
        """
        ...


@runtime_checkable
class SupportsBulkWrite(Protocol):
    """A store that writes many tiles with one commit."""

    def write_tiles(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[TileWriteOutcome]:
        """Store a batch; outcome i is tile i's. A bad tile never sinks its batch.

        Every tile whose outcome says stored is durable when this returns. Raises `StoreUnavailableError`
        when the batch as a whole could not be committed; then none of it was stored.
        """
        ...


@runtime_checkable
class SupportsHeadroom(Protocol):
    """A store that can reserve room between its freshness gate and its INSERT, as the write order has it."""

    def write_tile_within(
        self, pixels: bytes, metadata: TileMetadata, headroom: Headroom
    ) -> TileMetadataPersistent:
        """`write_tile` with `headroom` as its third step."""
        ...

    def write_tiles_within(
        self, tiles: Sequence[tuple[bytes, TileMetadata]], headroom: Headroom
    ) -> list[TileWriteOutcome]:
        """`write_tiles` with `headroom` as its third step."""
        ...


@runtime_checkable
class SupportsEviction(Protocol):
    """A store that deletes a tile only when it can be had again."""

    def evict_tile(self, tile_id: TileId) -> int:
        """Remove a tile that may be evicted according to the database, and return the bytes freed.

        Handles opened before stay valid. Raises `TileNotFoundError` when it is not there or may not go (it is
        pinned, or was made on board and is neither uploaded nor given up), `StoreUnavailableError`.
        """
        ...


@runtime_checkable
class SupportsVerdict(Protocol):
    """A store that judges what it holds anew."""

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """The freshness verdict on a stored tile as of now, without a database access.

        None when the store does not hold the tile.
        """
        ...


@runtime_checkable
class SupportsBboxQuery(Protocol):
    """A store that knows which of its tiles lie in a box."""

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """Tiles of one zoom that cover a point of `bbox`, along the Z-curve, without a database access.

        They are what this process knows of, as `tile_exists` has it. Raises `ValueError` for a zoom outside
        0..22.
        """
        ...
