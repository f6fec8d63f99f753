"""When tiles were read last, on its way from memory to the database, so that a read costs no round trip."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Protocol

from ..values.tiles import TileId
from ..values.timestamps import microseconds_of

MAX_GATHERED = 65_536
"""Tiles remembered while the database is away; beyond it the oldest notes are forgotten."""
BATCH = 1_000
"""Tiles in one statement: how long it locks their rows."""

_MICROSECOND = timedelta(microseconds=1)


class AccessTimes(Protocol):
    """The one call to the metadata store that a flush makes."""

    def record_lru_access(self, accesses: dict[TileId, datetime]) -> None: ...


class AccessedTiles(Protocol):
    """The one call to the catalogue that gathering makes."""

    def note_accesses(self, tile_ids: Sequence[TileId], accessed_us: Sequence[int]) -> None: ...


class AccessTimeBuffer:
    """Access times waiting for their flush; the latest per tile. Any thread may flush.

    A read takes no time of its own: the clock is read when reads are gathered, and those since the last time
    get consecutive microseconds that end there. So their order is exact, also when the clock goes back, and
    their time right to within the interval between two flushes.
    """

    def __init__(
        self,
        drain_reads: Callable[[], list[TileId]],
        stamps: Callable[[int], datetime],
        catalogue: AccessedTiles,
    ) -> None:
        """`drain_reads` gives the tiles that were read since its last call, least recently read first.

        `stamps` is `ClockGuard.stamp`.
        """
        self._drain_reads = drain_reads
        self._stamps = stamps
        self._catalogue = catalogue
        self._flush_lock = threading.Lock()
        self._lock = threading.Lock()
        self._latest = datetime.min.replace(tzinfo=timezone.utc)
        self._accesses: dict[TileId, datetime] = {}

    def gather(self) -> None:
        """Note the reads since the last time in the catalogue; the store hears of them by the next flush."""
        with self._lock:
            reads = self._drain_reads()
            # Behind those of the last time, also when more were read since than microseconds have passed.
            at = max(self._stamps(len(reads)) - _MICROSECOND, self._latest)
            for tile_id in reads:
                at += _MICROSECOND
                # Taken out and put back so that the dictionary stays in order of use.
                self._accesses.pop(tile_id, None)
                self._accesses[tile_id] = at
            first_us = microseconds_of(at) - len(reads) + 1
            self._catalogue.note_accesses(reads, range(first_us, first_us + len(reads)))
            self._latest = at
            while len(self._accesses) > MAX_GATHERED:
                del self._accesses[next(iter(self._accesses))]

    def flush(self, store: AccessTimes) -> int:
        """Gather, and hand everything that was gathered to the store, in batches of neighbours.

        What the store did not take is kept for the next flush. Returns how many tiles were handed over.
        Raises `StoreUnavailableError`.
        """
        self.gather()
        with self._flush_lock:
            with self._lock:
                taken, self._accesses = self._accesses, {}
            # Rows of neighbours were mostly written together, and lie together.
            in_order = iter(sorted(taken, key=_place))
            waiting = dict(taken)
            try:
                while batch := list(islice(in_order, BATCH)):
                    store.record_lru_access({tile_id: taken[tile_id] for tile_id in batch})
                    for tile_id in batch:
                        del waiting[tile_id]
            finally:
                if waiting:
                    with self._lock:
                        newer = waiting.keys() & self._accesses.keys()
                        older = {tile_id: at for tile_id, at in waiting.items() if tile_id not in newer}
                        self._accesses = dict(list({**older, **self._accesses}.items())[-MAX_GATHERED:])
            return len(taken)

    def __len__(self) -> int:
        return len(self._accesses)


def _place(tile_id: TileId) -> tuple[int, int, int]:
    return tile_id.zoom_level, tile_id.x, tile_id.y
