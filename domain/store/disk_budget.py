"""The disk budget: a write reserves its room first, and the least recently used tiles are evicted for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from ..errors import CacheBudgetExhaustedError, HeadroomTakenError, TileNotFoundError
from ..flight_events import eviction_batch_event
from ..policies.eviction import EvictionList, KnownTiles
from ..ports.flight_recorder import FlightRecorder
from ..ports.tile_store import SupportsLocalReads, TileStore
from ..values.catalogue_entries import EvictionCandidate
from ..values.pixels import TilePixelHandle
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent

_log = logging.getLogger("aerotile.budget")


class Reservation:
    """Room reserved for one write; released when the context is left, or with the last reference."""

    __slots__ = ("_enforcer", "_needed_bytes")

    def __init__(self, enforcer: CacheBudgetEnforcer, needed_bytes: int) -> None:
        self._enforcer: CacheBudgetEnforcer | None = enforcer
        self._needed_bytes = needed_bytes

    def release(self, *, was_taken: bool = False) -> None:
        """Give the room back; a second call does nothing. `was_taken`: another process took it first."""
        enforcer, self._enforcer = self._enforcer, None
        if enforcer is not None:
            enforcer.release(self._needed_bytes, was_taken=was_taken)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release(was_taken=isinstance(error, HeadroomTakenError))

    def __del__(self) -> None:
        if self._enforcer is not None:
            self.release()


class CacheBudgetEnforcer:
    """Keeps the bytes of all committed tiles, and of this process's writes under way, within a budget.

    While there is room according to the catalogue, the database is not queried. It is queried before an
    eviction, and after it refused a commit because other processes took the room: its total decides.
    """

    def __init__(
        self,
        evict_tile: Callable[[TileId], int],
        catalogue: KnownTiles,
        *,
        committed_bytes: Callable[[], int],
        budget_bytes: int,
        eviction_batch_size: int,
        recorder: FlightRecorder,
        before_sweep: Callable[[], None] = lambda: None,
    ) -> None:
        """`evict_tile` is the method of `SupportsLocalWrites`, or the `delete_tile` of another store.

        `committed_bytes` queries the database for the total. `before_sweep` updates the order of the
        candidates: it enters gathered reads into the catalogue.
        """
        if budget_bytes <= 0 or eviction_batch_size <= 0:
            raise ValueError(
                f"budget {budget_bytes!r} and batch size {eviction_batch_size!r} must be positive"
            )
        self._evict_tile = evict_tile
        self._catalogue = catalogue
        self._committed_bytes = committed_bytes
        self._budget_bytes = budget_bytes
        self._eviction_list = EvictionList(catalogue, eviction_batch_size)
        self._recorder = recorder
        self._before_sweep = before_sweep
        self._sweep_lock = threading.Lock()
        self._lock = threading.Lock()
        self._reserved_bytes = 0
        self._unlisted_bytes = 0
        """Bytes that the last query counted and the catalogue did not: rows without a file, and tiles that
        others had just written. Too high a value causes a query, too low a value a lost race."""
        self._lost_a_race = False
        self._sweeping = False

    def reserve_headroom(self, needed_bytes: int, lost_races: int = 0) -> Reservation:
        """Reserve `needed_bytes` for one write, evicting when there is no room for them.

        For each of `lost_races`, `needed_bytes` more are freed where they can be: room for the other
        processes, which would take the room of this write again.

        Evicts nothing, and does not query the database, while the catalogue's total, the reservations of
        this process and `needed_bytes` are within the budget. Raises `CacheBudgetExhaustedError` after a full
        sweep that did not make room, and before any eviction for more bytes than the whole budget;
        `StoreUnavailableError` when the database must be queried and does not answer.
        """
        spare_bytes = lost_races * needed_bytes
        if needed_bytes > self._budget_bytes:
            raise self._exhausted(needed_bytes)
        with self._lock:
            # A write that was just committed is in the total and still reserved: counted twice, never missed.
            taken = self._catalogue.total_disk_bytes() + self._unlisted_bytes + self._reserved_bytes
            has_room = taken + needed_bytes <= self._budget_bytes
            if has_room and not self._lost_a_race and not self._sweeping and not spare_bytes:
                self._reserved_bytes += needed_bytes
                return Reservation(self, needed_bytes)
        self._reserve_by_database(needed_bytes, spare_bytes)
        return Reservation(self, needed_bytes)

    def release(self, needed_bytes: int, *, was_taken: bool) -> None:
        """End a `Reservation`."""
        with self._lock:
            self._reserved_bytes -= needed_bytes
            self._lost_a_race |= was_taken

    def _reserve_by_database(self, needed_bytes: int, spare_bytes: int) -> None:
        with self._sweep_lock:
            self._sweeping = True  # later writes must not take the room that this sweep frees
            try:
                missing = self._missing_bytes(needed_bytes)
                if missing + spare_bytes > 0:
                    self._sweep(needed_bytes, missing, spare_bytes)
                with self._lock:
                    self._reserved_bytes += needed_bytes
            finally:
                self._sweeping = False

    def _missing_bytes(self, needed_bytes: int) -> int:
        # Reservations first: a write that commits in between is then counted twice, never missed.
        with self._lock:
            reserved = self._reserved_bytes
            self._lost_a_race = False
        committed = self._committed_bytes()
        self._unlisted_bytes = max(0, committed - self._catalogue.total_disk_bytes())
        return committed + reserved + needed_bytes - self._budget_bytes

    def _sweep(self, needed_bytes: int, missing: int, spare_bytes: int) -> None:
        self._before_sweep()
        refused: set[TileId] = set()
        while missing + spare_bytes > 0:
            # Tiles that turned out not to be evictable may be listed for a moment longer; skip them.
            batch = self._eviction_list.next_batch(refused)
            if not batch:
                if missing > 0:
                    raise self._exhausted(needed_bytes)
                return
            refused |= self._evict(batch, missing + spare_bytes)
            missing = self._missing_bytes(needed_bytes)

    def _evict(self, batch: Sequence[EvictionCandidate], missing: int) -> set[TileId]:
        """Evict tiles of `batch` until `missing` bytes are freed; returns those that may not be evicted."""
        evicted: list[TileId] = []
        refused: set[TileId] = set()
        freed = 0
        try:
            for candidate in batch:
                if freed >= missing:
                    break
                try:
                    freed += self._evict_tile(candidate.tile_id)
                except TileNotFoundError:
                    refused.add(candidate.tile_id)
                    continue
                evicted.append(candidate.tile_id)
                _log.info("c6.evicted tile=%s bytes=%d", candidate.tile_id, candidate.disk_bytes)
        finally:
            if evicted:
                self._recorder.record(eviction_batch_event(evicted, freed))
        return refused

    def _exhausted(self, needed_bytes: int) -> CacheBudgetExhaustedError:
        return CacheBudgetExhaustedError(needed_bytes, self._budget_bytes, self._committed_bytes())


class BudgetEnforcedTileStore:
    """Any tile store, kept within a budget: room is reserved before each write.

    For a store that does not reserve room itself. `FileBackedTileStore` is given the enforcer instead.
    """

    def __init__(self, store: TileStore, enforcer: CacheBudgetEnforcer) -> None:
        """The methods of `SupportsLocalReads` are there when `store` has them."""
        self._store = store
        self._enforcer = enforcer
        # A read of a microsecond has no time for another Python frame. (The ignored complaint is that a
        # method is assigned to; it is one of the same signature.)
        self.read_tile_pixels = store.read_tile_pixels  # type: ignore[method-assign]
        if isinstance(store, SupportsLocalReads):
            self.read_tile_bytes = store.read_tile_bytes
            self.read_tile_pixels_within = store.read_tile_pixels_within
            self.verdict = store.verdict
            self.query_by_bbox = store.query_by_bbox

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore`."""
        return self._store.read_tile_pixels(tile_id)

    def tile_exists(self, tile_id: TileId) -> bool:
        """See `TileStore`."""
        return self._store.tile_exists(tile_id)

    def delete_tile(self, tile_id: TileId) -> int:
        """See `TileStore`."""
        return self._store.delete_tile(tile_id)

    def write_tile(self, pixels: bytes, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileStore`; raises `CacheBudgetExhaustedError` when no room can be made."""
        with self._enforcer.reserve_headroom(metadata.disk_bytes):
            return self._store.write_tile(pixels, metadata)
