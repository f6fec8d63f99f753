"""Tiles' pixels, stored durably with their metadata; optional abilities are Protocols of their own.

docs/contracts/ has a page for every port; a test compares its method table with the Protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import attrs

from ..errors import TileCacheError
from ..policies.freshness import FreshnessVerdict
from ..values.catalogue_entries import CatalogueMatches
from ..values.pixels import TileBytes, TilePixelHandle
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


@attrs.frozen
class AmendedTile:
    """A tile whose capture date was put right."""

    stored: TileMetadataPersistent
    """The row as it was committed."""
    captured_at_before: datetime
    """The date that was wrong."""
    verdict: FreshnessVerdict
    """On the tile with its new date."""


@attrs.frozen
class ReplacedTile:
    """A tile whose imagery was replaced by newer imagery."""

    stored: TileMetadataPersistent
    """The row as it was committed."""
    before: TileMetadataPersistent
    """The row of the older imagery, which is gone."""


@runtime_checkable
class TileStore(Protocol):
    """Tiles' pixels, stored durably with their metadata."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """The tile's JPEG bytes, without a database access.

        A tile that another process wrote is found milliseconds after its commit, while the database answers.
        Waits for the disk at most `reads.deadline_s` seconds. Raises `TileNotFoundError`, `TileRecalledError`
        when a recall list names the tile, `StoreUnavailableError` when the disk fails, `ReadDeadlineError`
        when it does not answer in time, and `ContentHashMismatchError` where hashes are verified.
        """

    def write_tile(self, pixels: TileBytes, metadata: TileMetadata) -> TileMetadataPersistent:
        """Store one tile; durable (file and row, not the sidecar) when this returns.

        When this raises nothing is done, `CommitOutcomeUnknownError` excepted. Waits for the disk as long as
        the disk takes, and for the database at most `database.connect_timeout_s` for a connection,
        `database.statement_timeout_s` more for each answer, and 5 s for a lost COMMIT. Raises `TypeError` for
        pixels that are no `TileBytes`, `ContentHashMismatchError`, `TileMetadataError` (no JPEG, duplicate,
        capture time in the future), `TileRecalledError`, `FreshnessRejectionError`,
        `CacheBudgetExhaustedError`, `StoreUnavailableError`.
        """

    def tile_exists(self, tile_id: TileId) -> bool:
        """Whether the tile is committed, according to this process's catalogue; no database access."""

    def delete_tile(self, tile_id: TileId) -> int:
        """Remove a tile and return the bytes freed. Handles opened before stay valid.

        Waits as `write_tile` does. Raises `TileNotFoundError`, `StoreUnavailableError`.
        """


@runtime_checkable
class SupportsLocalReads(Protocol):
    """A store that knows its tiles without a query: what it can read beyond `TileStore`.

    A read-only store implements this and not `SupportsLocalWrites`.
    """

    def read_tile_bytes(self, tile_id: TileId) -> bytes:
        """A copy of the tile's JPEG bytes, without a database access; the tile does not stay open.

        Waits as `TileStore.read_tile_pixels` does. Raises `TileNotFoundError`, `TileRecalledError`,
        `StoreUnavailableError`, `ReadDeadlineError`, `ContentHashMismatchError` as
        `TileStore.read_tile_pixels` does.
        """

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """`read_tile_pixels`, waiting for the disk at most `timeout_s` seconds; None: without a limit.

        With 0 only tiles that need no disk are read. Raises `ValueError` for a negative time, and
        `TileNotFoundError`, `TileRecalledError`, `StoreUnavailableError`, `ReadDeadlineError`,
        `ContentHashMismatchError` as `TileStore.read_tile_pixels` does.
        """

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """The freshness verdict on a stored tile as of now, without a database access.

        None when the store does not hold the tile.
        """

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """Tiles of one zoom that cover a point of `bbox`, along the Z-curve, without a database access.

        The tiles are those for which `tile_exists` answers yes and that no recall list names. Raises
        `ValueError` for a zoom outside 0..22.
        """


@runtime_checkable
class RecordsLookups(Protocol):
    """A store that records lookups which came to nothing; `find_tiles` asks a store for it."""

    def record_unknown_candidates(self, tile_ids: Sequence[TileId]) -> None:
        """Record that the store holds none of a lookup's candidates."""


@runtime_checkable
class ReadableTiles(SupportsLocalReads, Protocol):
    """Tiles that can be read and not written, such as those of a sealed base."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore.read_tile_pixels`, which raises the same errors, and `BaseUnavailableError`."""

    def tile_exists(self, tile_id: TileId) -> bool:
        """Whether the tile is here; a recalled one is, and can't be read.

        Raises `BaseUnavailableError` for damaged facts of a base.
        """

    def captured_us(self, tile_id: TileId) -> int | None:
        """When the ground looked like that, microseconds since 1970 UTC; None for a tile that is not here.

        Raises `BaseUnavailableError` for damaged facts of a base.
        """

    def datasets_of(self, tile_ids: Iterable[TileId]) -> dict[TileId, str | None]:
        """The dataset of each of the tiles that is here, by name; None for a tile without one.

        A store asks its database, once for all of them; a base does not. Raises `StoreUnavailableError`, and
        `BaseUnavailableError` for damaged facts of a base.
        """

    def content_sha256(self, tile_id: TileId) -> str | None:
        """The SHA-256 of the tile's bytes as it was stored; None for a tile that is not here. Reads no bytes.

        Raises `BaseUnavailableError` for damaged facts of a base.
        """

    def __len__(self) -> int: ...


@runtime_checkable
class SupportsLocalWrites(Protocol):
    """A store that owns its tiles: what it can write beyond `TileStore`."""

    def write_tiles(self, tiles: Iterable[tuple[TileBytes, TileMetadata]]) -> list[TileWriteOutcome]:
        """Store a batch with one commit; outcome i is tile i's. A bad tile never sinks its batch.

        Every tile whose outcome says stored is durable when this returns. Waits as `TileStore.write_tile`
        does, once for the batch. Raises `TypeError` for pixels that are no `TileBytes`, and
        `StoreUnavailableError` when the batch as a whole could not be committed; then none of it was stored.
        """

    def amend_capture_time(self, tile_id: TileId, captured_at: datetime) -> AmendedTile:
        """Put a stored tile's capture date right; committed and on the flight record when this returns.

        The tile is judged anew and labelled by the verdict. It stays stored also when a write would now be
        refused: each read judges it. Raises `ValueError` for a time that is not aware and in UTC,
        `TileNotFoundError`, `TileMetadataError` (a capture time in the future), `StoreUnavailableError`.
        """

    def replace_tile(self, pixels: TileBytes, metadata: TileMetadata) -> ReplacedTile:
        """Put newer imagery in the place of a stored tile's; durable when this returns.

        The new imagery passes every gate of a write. At any instant, and after a crash, the tile is the old
        one or the new one, whole; handles on the old pixels stay valid. A pin stays, everything else is as
        after a write. When this raises, the old tile is stored as before, `CommitOutcomeUnknownError`
        excepted. Waits as `TileStore.write_tile` does. Raises `TypeError` for pixels that are no `TileBytes`,
        `TileNotFoundError`, `NotNewerError` (imagery as old or older), `DuplicateTileError` (the same bytes;
        `CaptureTimeConflictError` for another date, which `amend_capture_time` puts right),
        `TileMetadataError` (an onboard tile, no JPEG, a capture time in the future),
        `ContentHashMismatchError`, `TileRecalledError`, `FreshnessRejectionError`,
        `CacheBudgetExhaustedError`, `StoreUnavailableError`.
        """

    def evict_tile(self, tile_id: TileId) -> int:
        """Remove a tile that may be evicted according to the database, and return the bytes freed.

        Handles opened before stay valid. Waits as `TileStore.write_tile` does. Raises `TileNotFoundError`,
        `EvictionRefusedError` (the tile is pinned, or was made on board and is neither uploaded, rejected nor
        given up), `StoreUnavailableError`.
        """
