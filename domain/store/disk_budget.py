"""The disk budget: a write reserves its room first, and what was used least recently makes place for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

import attrs

from ..errors import (
    CacheBudgetExhaustedError,
    HeadroomTakenError,
    StoreUnavailableError,
    TileCacheError,
    TileNotFoundError,
)
from ..flight_events import eviction_batch_event
from ..policies.eviction import EvictionList, KnownTiles
from ..policies.freshness import FreshnessVerdict
from ..ports.flight_recorder import FlightRecorder
from ..ports.headroom import Headroom
from ..ports.tile_store import (
    SupportsBboxQuery,
    SupportsByteRead,
    SupportsEviction,
    SupportsHeadroom,
    SupportsReadDeadline,
    SupportsVerdict,
    TileStore,
    TileWriteOutcome,
)
from ..values.catalogue_entries import CatalogueMatches, EvictionCandidate
from ..values.pixels import TilePixelHandle
from ..values.tile_grid import Bbox
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent

_log = logging.getLogger("aerotile.budget")


_LOST_RACES = 10
"""How often a write starts again after another process took its room; each time it makes more room."""


class Reservation:
    """Room held for one write. Released when left, or when nobody holds the object any more."""

    __slots__ = ("_enforcer", "_needed_bytes")

    def __init__(self, enforcer: CacheBudgetEnforcer, needed_bytes: int) -> None:
        self._enforcer: CacheBudgetEnforcer | None = enforcer
        self._needed_bytes = needed_bytes

    def release(self, *, was_taken: bool = False) -> None:
        """Give the room back; a second call does nothing. `was_taken`: another process had it already."""
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
        self.release()


class CacheBudgetEnforcer:
    """Keeps the bytes of all committed tiles, and of all writes under way here, within a budget.

    While there is room by what this process knows, nobody is asked. The database is asked before anything is
    evicted, and after it refused a commit because other processes took the room: its number is what counts.
    """

    def __init__(
        self,
        store: TileStore,
        catalogue: KnownTiles,
        *,
        committed_bytes: Callable[[], int],
        budget_bytes: int,
        eviction_batch_size: int,
        recorder: FlightRecorder,
        before_sweep: Callable[[], None] = lambda: None,
    ) -> None:
        """`committed_bytes` asks the database for the total.

        `before_sweep` brings the candidates' order up to date: it notes gathered reads in the catalogue.
        """
        if budget_bytes <= 0 or eviction_batch_size <= 0:
            raise ValueError(
                f"budget {budget_bytes!r} and batch size {eviction_batch_size!r} must be positive"
            )
        self._delete_tile = store.evict_tile if isinstance(store, SupportsEviction) else store.delete_tile
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
        """What the database counted and the catalogue did not, when it was last asked: rows without a file,
        and what others had just written. Too much of it costs a question, too little a lost race."""
        self._lost_a_race = False
        self._sweeping = False

    def reserve_headroom(self, needed_bytes: int, spare_bytes: int = 0) -> Reservation:
        """Hold `needed_bytes` for one write, evicting when there is no room for them.

        `spare_bytes` more are freed where they can be, for other processes: else they would take this room.

        Returns at once while the catalogue's total, what writes here hold and `needed_bytes` are within the
        budget. Raises `CacheBudgetExhaustedError` after a full sweep that did not make room, and at once for
        more bytes than the whole budget, which no sweep could make room for; `StoreUnavailableError` when the
        database must be asked and does not answer.
        """
        if needed_bytes > self._budget_bytes:
            raise self._exhausted(needed_bytes)
        with self._lock:
            # A write that was just committed is in the total and still reserved: counted twice, not missed.
            taken = self._catalogue.total_disk_bytes() + self._unlisted_bytes + self._reserved_bytes
            has_room = taken + needed_bytes <= self._budget_bytes
            if has_room and not self._lost_a_race and not self._sweeping and not spare_bytes:
                self._reserved_bytes += needed_bytes
                return Reservation(self, needed_bytes)
        self._reserve_by_database(needed_bytes, spare_bytes)
        return Reservation(self, needed_bytes)

    def release(self, needed_bytes: int, *, was_taken: bool) -> None:
        """What a `Reservation` does at its end."""
        with self._lock:
            self._reserved_bytes -= needed_bytes
            self._lost_a_race |= was_taken

    def _reserve_by_database(self, needed_bytes: int, spare_bytes: int) -> None:
        with self._sweep_lock:
            self._sweeping = True  # what is freed from here on is not for writes that come later
            try:
                missing = self._missing_bytes(needed_bytes)
                if missing + spare_bytes > 0:
                    self._sweep(needed_bytes, missing, spare_bytes)
                with self._lock:
                    self._reserved_bytes += needed_bytes
            finally:
                self._sweeping = False

    def _missing_bytes(self, needed_bytes: int) -> int:
        # The reservations are read first: a write that commits in between is then counted twice, not missed.
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
            # Tiles that may not go after all may still be listed for a moment; look past them.
            batch = self._eviction_list.next_batch(refused)
            if not batch:
                if missing > 0:
                    raise self._exhausted(needed_bytes)
                return
            refused |= self._evict(batch, missing + spare_bytes)
            missing = self._missing_bytes(needed_bytes)

    def _evict(self, batch: Sequence[EvictionCandidate], missing: int) -> set[TileId]:
        """Evict as many of `batch` as are missing, and return those that could not be."""
        evicted: list[TileId] = []
        refused: set[TileId] = set()
        freed = 0
        try:
            for candidate in batch:
                if freed >= missing:
                    break
                try:
                    freed += self._delete_tile(candidate.tile_id)
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


@attrs.frozen
class _Contended:
    """Headroom after others took the room `lost_races` times: as many times its size is freed more."""

    enforcer: CacheBudgetEnforcer
    lost_races: int

    def reserve_headroom(self, needed_bytes: int) -> Reservation:
        return self.enforcer.reserve_headroom(needed_bytes, self.lost_races * needed_bytes)


class BudgetEnforcedTileStore:
    """Any tile store, kept within a budget.

    A store that `SupportsHeadroom` reserves its room as the third step of a write, after its gates; with any
    other store the room is reserved before the write.
    """

    def __init__(self, store: TileStore, enforcer: CacheBudgetEnforcer) -> None:
        self._store = store
        # Asked once: asking whether a store has an ability takes longer than a verdict.
        self._judging = store if isinstance(store, SupportsVerdict) else None
        self._reserving = store if isinstance(store, SupportsHeadroom) else None
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
        return None if self._judging is None else self._judging.verdict(tile_id)

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
        for lost_races in range(_LOST_RACES):
            try:
                return self._write_within(pixels, metadata, _Contended(self._enforcer, lost_races))
            except HeadroomTakenError:
                continue
        return self._write_within(pixels, metadata, _Contended(self._enforcer, _LOST_RACES))

    def _write_within(
        self, pixels: bytes, metadata: TileMetadata, headroom: Headroom
    ) -> TileMetadataPersistent:
        if self._reserving is not None:
            return self._reserving.write_tile_within(pixels, metadata, headroom)
        with headroom.reserve_headroom(metadata.disk_bytes):
            return self._store.write_tile(pixels, metadata)

    def write_tiles(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[TileWriteOutcome]:
        """See `SupportsBulkWrite`; over a store that can't, the tiles are written one by one."""
        if self._reserving is None:
            return [self._outcome(pixels, metadata) for pixels, metadata in tiles]
        outcomes = self._reserving.write_tiles_within(tiles, self._enforcer)
        for lost_races in range(1, _LOST_RACES + 1):
            lost = [p for p, outcome in enumerate(outcomes) if isinstance(outcome.error, HeadroomTakenError)]
            if not lost:
                break
            headroom = _Contended(self._enforcer, lost_races)
            again = self._reserving.write_tiles_within([tiles[place] for place in lost], headroom)
            for place, outcome in zip(lost, again, strict=True):
                outcomes[place] = outcome
        return outcomes

    def _outcome(self, pixels: bytes, metadata: TileMetadata) -> TileWriteOutcome:
        try:
            return TileWriteOutcome(metadata.tile_id, stored=self.write_tile(pixels, metadata))
        except StoreUnavailableError:
            raise
        except TileCacheError as error:
            return TileWriteOutcome(metadata.tile_id, error=error)
