"""What the domain asks of the world, and what the world may ask of Aerotile: one Protocol each.

docs/contracts/ has a page for every port; a test compares its method table with the Protocol.
Optional abilities are the small `Supports...` Protocols, never methods that raise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .descriptors import IndexMetadata, SearchHit
from .records import FlightEvent
from .sectors import SectorBoundary, SectorClassification
from .tile_grid import Bbox
from .tiles import TileId, TileMetadata, TileMetadataPersistent, VotingStatus

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .catalogue import CatalogueMatches
    from .freshness import FreshnessVerdict, Rules
    from .storage import Headroom
    from .upload import UploadBatchReport, UploadRequest
    from .write_tiles import TileWriteOutcome


class TilePixelHandle(ABC):
    """A tile's JPEG bytes as a read-only buffer: `memoryview(handle)`, `numpy.frombuffer(handle, "u1")`.

    The buffer shares memory with the store and stays valid after the tile is deleted or evicted. It can't be
    written through. `close` raises `BufferError` while views of it are alive, as `mmap.mmap.close` does.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        # Implemented in C; declared so that type checkers accept `memoryview(handle)` (PEP 688).
        def __buffer__(self, flags: int, /) -> memoryview: ...

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Length of the JPEG in bytes. Raises `ValueError` after `close`."""

    @abstractmethod
    def close(self) -> None:
        """Give the memory back; a second call does nothing. Raises `BufferError` while views are alive."""

    @abstractmethod
    def __enter__(self) -> TilePixelHandle: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class TileStore(Protocol):
    """Tiles' pixels, kept durably with their metadata."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """The tile's JPEG bytes, without a database access.

        A tile that another process wrote is not found until this one has heard of it: milliseconds after its
        commit while the database answers.
        Raises `TileNotFoundError`, and `StoreUnavailableError` when the disk fails.
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


@runtime_checkable
class TileMetadataStore(Protocol):
    """The database's knowledge of tiles. Every method raises `StoreUnavailableError` when it can't answer."""

    def get_by_id(self, tile_id: TileId) -> TileMetadataPersistent | None:
        """The tile's row, or None."""
        ...

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> list[TileMetadataPersistent]:
        """Tiles of one zoom that cover a point of `bbox`, ordered by x, y, source, flight."""
        ...

    def insert_metadata(self, metadata: TileMetadata) -> TileMetadataPersistent:
        """Add a committed row without a file (imports and tests). Raises `DuplicateTileError`."""
        ...

    def update_voting_status(self, tile_id: TileId, status: VotingStatus) -> TileMetadataPersistent:
        """Move the vote forward. Raises `TileNotFoundError`, or `TileMetadataError` for a step back."""
        ...

    def mark_uploaded(self, tile_id: TileId, uploaded_at: datetime, content_sha256: str) -> None:
        """Note the provider's word that it holds this content; a second call with the same hash does nothing.

        Raises `TileNotFoundError`, or `ContentHashMismatchError` when our row holds other content.
        """
        ...

    def pending_uploads(self, limit: int) -> list[TileMetadataPersistent]:
        """Onboard tiles that are neither uploaded nor rejected nor given up, oldest first."""
        ...

    def record_lru_access(self, accesses: Mapping[TileId, datetime]) -> None:
        """Note when tiles were last read, in one batch; unknown tiles are ignored, time never goes back."""
        ...

    def lru_candidates(self, limit: int) -> list[TileMetadataPersistent]:
        """The tiles that may be evicted, least recently used first.

        Never a pinned tile, nor an onboard tile that is neither uploaded nor given up.
        """
        ...

    def total_disk_bytes(self) -> int:
        """The sum of `disk_bytes` over committed rows, read as one number."""
        ...

    def increment_upload_attempts(self, tile_id: TileId) -> int:
        """Count one refused upload and return the new count."""
        raise NotImplementedError


@runtime_checkable
class DescriptorIndex(Protocol):
    """Which tiles look like this descriptor."""

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        """The `k` nearest tiles, nearest first; fewer when the index holds fewer.

        `descriptor` has shape (dimension,), dtype float32, finite. Raises `ValueError` for any other query
        and for k < 1, `IndexUnavailableError` for an empty or closed index.
        """
        ...

    def rebuild(
        self,
        tile_ids: Sequence[TileId],
        descriptors: npt.NDArray[np.float32],
        *,
        descriptor_model: str,
        built_at: datetime,
        progress: Callable[[int, int], None] | None = None,
    ) -> IndexMetadata:
        """Build a new generation from row i = tile i, make it durable, and answer from it.

        `descriptors` has shape (n, d), float32, finite. `progress(done, total)` counts descriptors. Searches
        under way finish on the old generation. Raises `IndexBuildError`; then the old generation stays.
        """
        ...

    def metadata(self) -> IndexMetadata:
        """What is known about the generation in use. Raises `IndexUnavailableError`."""
        ...

    def dimension(self) -> int:
        """Length of a descriptor. Raises `IndexUnavailableError`."""
        ...

    def close(self) -> None:
        """Give the index's memory back; a second call does nothing."""
        ...


@runtime_checkable
class TileUploader(Protocol):
    """Brings the tiles that the aircraft made to the satellite provider."""

    def upload_pending_tiles(self, request: UploadRequest) -> UploadBatchReport:
        """Send every pending tile, and report how that ended; what goes wrong out there is in the report.

        A tile is marked as uploaded only on the provider's word that it holds our content. May be called
        again after any end, a crash included. Raises `StoreUnavailableError` when our own database or disk
        does not answer; what was marked until then stays.
        """
        ...


@runtime_checkable
class FlightRecorder(Protocol):
    """Where every decision is noted for investigators."""

    def record(self, event: FlightEvent) -> None:
        """Note an event; never blocks and never raises. A full queue drops it and counts the drop."""
        ...


@runtime_checkable
class Clock(Protocol):
    """The time, so that nothing else reads it."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary start."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


@runtime_checkable
class SectorIndex(Protocol):
    """Which sectors cover a point or a box. Any number of threads may ask at once."""

    def sectors_at(self, lat: float, lon: float) -> tuple[SectorBoundary, ...]:
        """The sectors that hold the point (edges included), ordered by id."""
        ...

    def sectors_intersecting(self, bbox: Bbox) -> tuple[SectorBoundary, ...]:
        """The sectors that share at least one point with the box, ordered by id."""
        ...


@runtime_checkable
class TileJudge(Protocol):
    """Judges tiles by sectors and rules that are fixed. Any number of threads may ask at once."""

    def verdict_on(self, tile_id: TileId, captured_us: int, now: datetime) -> FreshnessVerdict:
        """The strictest verdict of the sectors over the tile; see `domain.freshness.judge_freshness`.

        `captured_us` is the capture time in microseconds since 1970. The sector that is named is the first by
        id of those that say so.
        """
        ...


@runtime_checkable
class SupportsJudging(Protocol):
    """A sector index that finds and judges in one call, faster than by listing sectors."""

    def judge(self, rules: Rules, default_classification: SectorClassification) -> TileJudge:
        """A judge by this index's sectors and by `rules`, which holds each of their classifications."""
        ...
