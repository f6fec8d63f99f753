"""The disk budget: a write reserves its room first, and the least recently used tiles are evicted for it."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType

import attrs

from ..errors import (
    CacheBudgetExhaustedError,
    EvictionRefusedError,
    HeadroomTakenError,
    OnboardRoomExhaustedError,
    TileNotFoundError,
)
from ..make_events import eviction_batch_event
from ..policies.eviction import EvictionList, KnownTiles
from ..ports.flight_recorder import FlightRecorder
from ..values.catalogue_entries import EvictionCandidate
from ..values.disk_usage import footprint
from ..values.eviction_tally import EvictionTally
from ..values.tiles import TileId

_log = logging.getLogger("aerotile.budget")


class Reservation:
    """Room reserved for one write, until the context is left or this object is collected."""

    # The room is counted over these objects: no interrupt can leave it reserved.
    __slots__ = ("__weakref__", "_enforcer", "is_held", "needed_bytes", "onboard")

    def __init__(self, enforcer: CacheBudgetEnforcer, needed_bytes: int, onboard: bool) -> None:
        self._enforcer = enforcer
        self.needed_bytes = needed_bytes
        self.onboard = onboard
        self.is_held = True

    def release(self, *, was_taken: bool = False) -> None:
        """Give the room back; a second call does nothing. `was_taken`: another process took it first."""
        if self.is_held:
            if was_taken:
                self._enforcer.note_lost_race()  # first: the room must not look free before
            self.is_held = False

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release(was_taken=isinstance(error, HeadroomTakenError))


@attrs.define
class _Limit:
    """One of the two limits: of all tiles, or of the onboard tiles among them."""

    max_bytes: int
    known_bytes: Callable[[], int]
    """Footprints of the committed tiles that the catalogue knows."""
    committed_bytes: Callable[[], int]
    """The same as the database counts them."""
    unlisted_bytes: int = 0
    """Bytes that the last query counted and the catalogue did not: rows without a file, and tiles that
    others had just written. Too high a value causes a query, too low a value a lost race."""
    is_passed: bool = False
    """Whether the last query found more than the limit, without any write under way."""
    refusal: str | None = None
    """Why the last write that asked for room was refused; None: it was given room."""

    def has_room(self, needed_bytes: int, reserved_bytes: int) -> bool:
        """Whether there is room according to the catalogue; `reserved_bytes` were counted just before."""
        # A write that was just committed is in the total and still reserved: counted twice, never missed.
        return self.known_bytes() + self.unlisted_bytes + reserved_bytes + needed_bytes <= self.max_bytes

    def missing_bytes(self, needed_bytes: int, reserved_bytes: int) -> int:
        """How many bytes must go according to the database; 0 or less: there is room."""
        committed = self.committed_bytes()
        self.unlisted_bytes = max(0, committed - self.known_bytes())
        self.is_passed = committed > self.max_bytes
        return committed + reserved_bytes + needed_bytes - self.max_bytes


class CacheBudgetEnforcer:
    """Keeps the footprints of all committed tiles, and of this process's writes under way, within a budget.

    All its numbers are footprints (`disk_usage.footprint`): blocks and inodes, not lengths. Onboard tiles
    have a share of the budget, beyond which their writes are refused; they evict onboard tiles only. While
    there is room according to the catalogue, the database is not queried. It is queried before an eviction,
    and after it refused a commit because other processes took the room: its total decides.
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
        committed_onboard_bytes: Callable[[], int] | None = None,
        onboard_budget_bytes: int | None = None,
        before_sweep: Callable[[], None] = lambda: None,
    ) -> None:
        """`evict_tile` is the method of `SupportsLocalWrites`, or the `delete_tile` of another store.

        `committed_bytes` queries the database for the footprint of all tiles, `committed_onboard_bytes` for
        that of the onboard tiles (default: what the catalogue knows). `onboard_budget_bytes` is the share of
        the onboard tiles (default: the whole budget). `before_sweep` updates the order of the candidates: it
        enters gathered reads into the catalogue.
        """
        share_bytes = budget_bytes if onboard_budget_bytes is None else onboard_budget_bytes
        if budget_bytes <= 0 or eviction_batch_size <= 0 or not 0 <= share_bytes <= budget_bytes:
            raise ValueError(
                f"budget {budget_bytes!r} and batch size {eviction_batch_size!r} must be positive, "
                f"the onboard share {share_bytes!r} within 0..{budget_bytes!r}"
            )
        self._evict_tile = evict_tile
        self._catalogue = catalogue
        onboard = partial(catalogue.footprint_bytes, onboard_only=True)
        self._budget = _Limit(budget_bytes, catalogue.footprint_bytes, committed_bytes)
        self._share = _Limit(share_bytes, onboard, committed_onboard_bytes or onboard)
        self._eviction_lists = {
            onboard: EvictionList(catalogue, eviction_batch_size, onboard_only=onboard)
            for onboard in (False, True)
        }
        self._recorder = recorder
        self._before_sweep = before_sweep
        self._sweep_lock = threading.Lock()
        self._lock = threading.Lock()
        self._reservations: list[weakref.ref[Reservation]] = []
        self._lost_a_race = False
        self._sweeping = False
        self._tallies: list[EvictionTally] = []

    def reserve_headroom(
        self,
        needed_bytes: int,
        lost_races: int = 0,
        *,
        onboard: bool = False,
        spared: TileId | None = None,
    ) -> Reservation:
        """Reserve `needed_bytes` for one write, evicting when there is no room for them.

        With `onboard` the room counts against the onboard share as well, and only onboard tiles are evicted
        for it. For each of `lost_races`, `needed_bytes` more are freed where they can be: room for the other
        processes, which would take the room of this write again. `spared` is a tile that is not evicted.

        Evicts nothing, and does not query the database, while the catalogue's total, the reservations of
        this process and `needed_bytes` are within the limits. Raises `CacheBudgetExhaustedError` (for onboard
        tiles `OnboardRoomExhaustedError`) before any eviction where all candidates together would not make
        room, and `StoreUnavailableError` when the database must be queried and does not answer.
        """
        with self._lock:
            reserved_bytes, onboard_bytes = self._reserved_bytes()
            has_room = self._budget.has_room(needed_bytes, reserved_bytes) and (
                not onboard or self._share.has_room(needed_bytes, onboard_bytes)
            )
            if has_room and not (lost_races or self._lost_a_race or self._sweeping):
                return self._reserve(needed_bytes, onboard)
        limits = (self._budget, self._share) if onboard else (self._budget,)
        for limit in limits:
            if needed_bytes > limit.max_bytes:
                raise self._exhausted(needed_bytes, limit, onboard)
        with self._sweep_lock:
            self._sweeping = True  # later writes must not take the room that this sweep frees
            try:
                self._make_room(needed_bytes, lost_races * needed_bytes, limits, onboard, spared)
                with self._lock:
                    return self._reserve(needed_bytes, onboard)
            finally:
                self._sweeping = False

    @property
    def refusal(self) -> str | None:
        """Why the last write, or the last onboard write, was refused; None: both were given room."""
        return self._budget.refusal or self._share.refusal

    def note_lost_race(self) -> None:
        """Another process took reserved room: the next write asks the database."""
        self._lost_a_race = True

    @contextmanager
    def tally_evictions(self) -> Iterator[EvictionTally]:
        """Count the evictions of this process while the context is open."""
        tally = EvictionTally()
        with self._lock:
            self._tallies.append(tally)
        try:
            yield tally
        finally:
            with self._lock:
                self._tallies = [other for other in self._tallies if other is not tally]

    def _reserved_bytes(self) -> tuple[int, int]:
        """What is reserved of the budget and of the onboard share, before their totals are read."""
        reserved_bytes = onboard_bytes = 0
        held = []
        for known in self._reservations:
            reservation = known()
            if reservation is not None and reservation.is_held:
                held.append(known)
                reserved_bytes += reservation.needed_bytes
                if reservation.onboard:
                    onboard_bytes += reservation.needed_bytes
        self._reservations = held
        return reserved_bytes, onboard_bytes

    def _reserve(self, needed_bytes: int, onboard: bool) -> Reservation:
        self._budget.refusal = None
        if onboard:
            self._share.refusal = None
        reservation = Reservation(self, needed_bytes, onboard)
        self._reservations.append(weakref.ref(reservation))
        return reservation

    def _make_room(
        self,
        needed_bytes: int,
        spare_bytes: int,
        limits: Sequence[_Limit],
        onboard: bool,
        spared: TileId | None,
    ) -> None:
        missing, limit = self._missing_bytes(needed_bytes, limits)
        if missing + spare_bytes <= 0:
            return
        if self._budget.is_passed:
            # The budget was lowered, or measured otherwise before: the map is not evicted for that.
            raise self._exhausted(needed_bytes, self._budget, onboard)
        self._before_sweep()
        refused: set[TileId] = set() if spared is None else {spared}
        evicted = 0
        while missing + spare_bytes > 0:
            # Counted again after each batch: a candidate may turn out to be pinned meanwhile.
            if missing > self._evictable_bytes(onboard, spared):
                raise self._exhausted(needed_bytes, limit, onboard, evicted)
            # Tiles that turned out not to be evictable may be listed for a moment longer; skip them.
            batch = self._eviction_lists[onboard].next_batch(refused)
            if not batch:
                if missing > 0:
                    raise self._exhausted(needed_bytes, limit, onboard, evicted)
                return
            evicted += self._evict(batch, missing + spare_bytes, refused)
            missing, limit = self._missing_bytes(needed_bytes, limits)

    def _evictable_bytes(self, onboard: bool, spared: TileId | None) -> int:
        entry = None if spared is None else self._catalogue.get(spared)
        spared_bytes = footprint(entry.disk_bytes) if entry is not None and entry.evictable else 0
        return self._catalogue.evictable_bytes(onboard_only=onboard) - spared_bytes

    def _missing_bytes(self, needed_bytes: int, limits: Sequence[_Limit]) -> tuple[int, _Limit]:
        """How many bytes must go, and for which limit."""
        # Reservations first: a write that commits in between is then counted twice, never missed.
        with self._lock:
            reserved = self._reserved_bytes()[: len(limits)]
            self._lost_a_race = False
        missing = [
            limit.missing_bytes(needed_bytes, bytes_) for limit, bytes_ in zip(limits, reserved, strict=True)
        ]
        largest = max(range(len(limits)), key=missing.__getitem__)
        return missing[largest], limits[largest]

    def _evict(self, batch: Sequence[EvictionCandidate], missing: int, refused: set[TileId]) -> int:
        """Evict tiles of `batch` until footprints of `missing` bytes are freed; returns how many.

        Adds to `refused` those that may not be evicted after all.
        """
        evicted: list[TileId] = []
        freed = freed_footprint = 0
        try:
            for candidate in batch:
                if freed_footprint >= missing:
                    break
                try:
                    freed += self._evict_tile(candidate.tile_id)
                    freed_footprint += footprint(candidate.disk_bytes)
                except (TileNotFoundError, EvictionRefusedError):
                    refused.add(candidate.tile_id)
                    continue
                evicted.append(candidate.tile_id)
                _log.info("c6.evicted tile=%s bytes=%d", candidate.tile_id, candidate.disk_bytes)
        finally:
            if evicted:
                self._recorder.record(eviction_batch_event(evicted, freed))
                with self._lock:
                    for tally in self._tallies:
                        tally.add(evicted, freed)
        return len(evicted)

    def _exhausted(
        self, needed_bytes: int, limit: _Limit, onboard: bool, evicted_tiles: int = 0
    ) -> CacheBudgetExhaustedError:
        facts = (
            needed_bytes,
            limit.max_bytes,
            limit.committed_bytes(),
            self._catalogue.evictable_bytes(onboard_only=onboard),
            evicted_tiles,
        )
        error = (
            OnboardRoomExhaustedError(*facts, budget_is_full=limit is self._budget)
            if onboard
            else CacheBudgetExhaustedError(*facts)
        )
        limit.refusal = str(error)
        return error
