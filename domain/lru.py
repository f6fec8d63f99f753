"""When tiles were read last, on its way from memory to the database, so that a read costs no round trip."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from .ports import Clock
from .tiles import TileId

MAX_GATHERED = 65_536
"""Tiles remembered while the database is away; beyond it the oldest notes are forgotten."""

_MICROSECOND = timedelta(microseconds=1)


class AccessTimes(Protocol):
    """The one call to the metadata store that a flush makes."""

    def record_lru_access(self, accesses: dict[TileId, datetime]) -> None: ...


class LruAccessBuffer:
    """Access times waiting for their flush; the latest per tile. Any thread may flush.

    A read takes no time of its own: the clock is read once per flush, and the reads since the last one get
    consecutive microseconds that end there. So their order is exact, and their time right to within the
    interval between two flushes.
    """

    def __init__(self, drain_reads: Callable[[], list[TileId]], clock: Clock) -> None:
        """`drain_reads` gives the tiles that were read since its last call, least recently read first."""
        self._drain_reads = drain_reads
        self._clock = clock
        self._lock = threading.Lock()
        self._accesses: dict[TileId, datetime] = {}

    def flush(self, store: AccessTimes) -> int:
        """Hand everything gathered to the store; on failure it is kept for the next flush.

        Returns how many tiles were handed over. Raises `StoreUnavailableError`.
        """
        with self._lock:
            self._gather()
            if not self._accesses:
                return 0
            store.record_lru_access(self._accesses)
            taken, self._accesses = self._accesses, {}
            return len(taken)

    def _gather(self) -> None:
        reads = self._drain_reads()
        if not reads:
            return
        at = self._clock.now() - (len(reads) - 1) * _MICROSECOND
        for tile_id in reads:
            # Taken out and put back so that the dictionary stays in order of use.
            self._accesses.pop(tile_id, None)
            self._accesses[tile_id] = at
            at += _MICROSECOND
        while len(self._accesses) > MAX_GATHERED:
            del self._accesses[next(iter(self._accesses))]

    def __len__(self) -> int:
        return len(self._accesses)
