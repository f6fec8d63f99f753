"""The disk budget: a write reserves its room first, and what was used least recently makes place for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from .errors import CacheBudgetExhaustedError, StoreUnavailableError, TileCacheError, TileNotFoundError
from .freshness import FreshnessVerdict
from .ports import (
    FlightRecorder,
    SupportsBboxQuery,
    SupportsByteRead,
    SupportsHeadroom,
    SupportsReadDeadline,
    SupportsVerdict,
    TilePixelHandle,
    TileStore,
)
from .records import eviction_batch_event
from .storage import HeadroomTakenError
from .tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource, VotingStatus
from .write_tiles import TileWriteOutcome

if TYPE_CHECKING:
    from .catalogue import CatalogueMatches
    from .tile_grid import Bbox

_log = logging.getLogger("aerotile.budget")

_LOST_RACES = 3
"""How often a write starts again after another process took its room; each time it evicts anew."""


def may_be_evicted(tile: TileMetadataPersistent) -> bool:
    """Whether a tile can be had again: not pinned, and not an onboard tile that exists only here."""
    if tile.pinned:
        return False
    if tile.tile_id.source is not TileSource.ONBOARD:
        return True
    return tile.uploaded_at is not None or tile.voting_status is VotingStatus.UPLOAD_GIVEUP


class EvictionCandidates(Protocol):
    """The calls to the metadata store that eviction makes."""

    def lru_candidates(self, limit: int) -> list[TileMetadataPersistent]: ...

    def total_disk_bytes(self) -> int: ...


class Reservation:
    """Room held for one write. Released when left, or when nobody holds the object any more."""

    def __init__(self, release: Callable[[int], None], needed_bytes: int) -> None:
        self._release: Callable[[int], None] | None = release
        self._needed_bytes = needed_bytes

    def release(self) -> None:
        """Give the room back; a second call does nothing."""
        release, self._release = self._release, None
        if release is not None:
            release(self._needed_bytes)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


class CacheBudgetEnforcer:
    """Keeps the bytes of all committed tiles, and of all writes under way here, within a budget."""

    def __init__(
        self,
        store: TileStore,
        candidates: EvictionCandidates,
        *,
        budget_bytes: int,
        eviction_batch_size: int,
        recorder: FlightRecorder,
        before_sweep: Callable[[], None] = lambda: None,
    ) -> None:
        """`before_sweep` brings the candidates' order up to date (it flushes gathered reads)."""
        if budget_bytes <= 0 or eviction_batch_size <= 0:
            raise ValueError(
                f"budget {budget_bytes!r} and batch size {eviction_batch_size!r} must be positive"
            )
        self._store = store
        self._candidates = candidates
        self._budget_bytes = budget_bytes
        self._eviction_batch_size = eviction_batch_size
        self._recorder = recorder
        self._before_sweep = before_sweep
        self._sweep_lock = threading.Lock()
        self._reserved_lock = threading.Lock()
        self._reserved_bytes = 0

    def reserve_headroom(self, needed_bytes: int) -> Reservation:
        """Hold `needed_bytes` for one write, evicting when there is no room for them.

        Returns at once while `total_disk_bytes() + needed_bytes` (and what other writes here hold) is within
        the budget. Raises `CacheBudgetExhaustedError` after a full sweep that did not make room, and at once
        for more bytes than the whole budget, which no sweep could make room for.
        """
        if needed_bytes > self._budget_bytes:
            raise self._exhausted(needed_bytes)
        with self._sweep_lock:
            if self._missing_bytes(needed_bytes) > 0:
                self._sweep(needed_bytes)
            with self._reserved_lock:
                self._reserved_bytes += needed_bytes
        return Reservation(self._release, needed_bytes)

    def _missing_bytes(self, needed_bytes: int) -> int:
        # The reservations are read first: a write that commits in between is then counted twice, not missed.
        with self._reserved_lock:
            reserved = self._reserved_bytes
        return self._candidates.total_disk_bytes() + reserved + needed_bytes - self._budget_bytes

    def _sweep(self, needed_bytes: int) -> None:
        self._before_sweep()
        gone: set[TileId] = set()
        while (missing := self._missing_bytes(needed_bytes)) > 0:
            # Tiles that another process evicted may still be listed for a moment; look past them.
            listed = self._candidates.lru_candidates(self._eviction_batch_size + len(gone))
            batch = [t for t in listed if t.tile_id not in gone and may_be_evicted(t)]
            if not batch:
                raise self._exhausted(needed_bytes)
            gone.update(self._evict(batch, missing))

    def _evict(self, batch: Sequence[TileMetadataPersistent], missing: int) -> set[TileId]:
        evicted: list[TileId] = []
        tried: set[TileId] = set()
        freed = 0
        try:
            for tile in batch:
                if freed >= missing:
                    break
                tried.add(tile.tile_id)
                try:
                    freed += self._store.delete_tile(tile.tile_id)
                except TileNotFoundError:
                    continue
                evicted.append(tile.tile_id)
                _log.info("c6.evicted tile=%s bytes=%d", tile.tile_id, tile.disk_bytes)
        finally:
            if evicted:
                self._recorder.record(eviction_batch_event(evicted, freed))
        return tried

    def _release(self, needed_bytes: int) -> None:
        with self._reserved_lock:
            self._reserved_bytes -= needed_bytes

    def _exhausted(self, needed_bytes: int) -> CacheBudgetExhaustedError:
        total = self._candidates.total_disk_bytes()
        return CacheBudgetExhaustedError(needed_bytes, self._budget_bytes, total)


class BudgetEnforcedTileStore:
    """Any tile store, kept within a budget.

    A store that `SupportsHeadroom` reserves its room as the third step of a write, after its gates; with any
    other store the room is reserved before the write.
    """

    def __init__(self, store: TileStore, enforcer: CacheBudgetEnforcer) -> None:
        self._store = store
        self._enforcer = enforcer
        # A budget has no say in a read of a microsecond: the inner store's methods take the place of ours,
        # which stand below for what they mean and for inner stores that can't. (The ignored complaint is that
        # a method is assigned to; it is one of the same signature.)
        self.read_tile_pixels = store.read_tile_pixels  # type: ignore[method-assign]
        if isinstance(store, SupportsReadDeadline):
            self.read_tile_pixels_within = store.read_tile_pixels_within  # type: ignore[method-assign]
        if isinstance(store, SupportsByteRead):
            self.read_tile_bytes = store.read_tile_bytes  # type: ignore[method-assign]

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore`."""
        return self._store.read_tile_pixels(tile_id)

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """See `SupportsReadDeadline`; over a store that knows no deadlines, its own read."""
        return self._store.read_tile_pixels(tile_id)

    def read_tile_bytes(self, tile_id: TileId) -> bytes:
        """See `SupportsByteRead`; over a store that can't, a copy of the tile's pixels."""
        with self._store.read_tile_pixels(tile_id) as handle:
            return bytes(memoryview(handle))

    def tile_exists(self, tile_id: TileId) -> bool:
        """See `TileStore`."""
        return self._store.tile_exists(tile_id)

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """See `SupportsVerdict`; None over a store that does not judge."""
        return self._store.verdict(tile_id) if isinstance(self._store, SupportsVerdict) else None

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """See `SupportsBboxQuery`. Raises `TypeError` over a store that does not know boxes."""
        if not isinstance(self._store, SupportsBboxQuery):
            raise TypeError(f"{type(self._store).__name__} does not know which tiles lie in a box")
        return self._store.query_by_bbox(bbox, zoom_level)

    def delete_tile(self, tile_id: TileId) -> int:
        """See `TileStore`."""
        return self._store.delete_tile(tile_id)

    def write_tile(self, pixels: bytes, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileStore`; raises `CacheBudgetExhaustedError` when no room can be made."""
        for _ in range(_LOST_RACES):
            try:
                return self._write_within(pixels, metadata)
            except HeadroomTakenError:
                continue
        return self._write_within(pixels, metadata)

    def _write_within(self, pixels: bytes, metadata: TileMetadata) -> TileMetadataPersistent:
        if isinstance(self._store, SupportsHeadroom):
            return self._store.write_tile_within(pixels, metadata, self._enforcer)
        with self._enforcer.reserve_headroom(metadata.disk_bytes):
            return self._store.write_tile(pixels, metadata)

    def write_tiles(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[TileWriteOutcome]:
        """See `SupportsBulkWrite`; over a store that can't, the tiles are written one by one."""
        if isinstance(self._store, SupportsHeadroom):
            return self._store.write_tiles_within(tiles, self._enforcer)
        return [self._outcome(pixels, metadata) for pixels, metadata in tiles]

    def _outcome(self, pixels: bytes, metadata: TileMetadata) -> TileWriteOutcome:
        try:
            return TileWriteOutcome(metadata.tile_id, stored=self.write_tile(pixels, metadata))
        except StoreUnavailableError:
            raise
        except TileCacheError as error:
            return TileWriteOutcome(metadata.tile_id, error=error)
