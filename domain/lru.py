"""Which tiles were read last, gathered in memory so that a read costs no database round trip."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from .tiles import TileId

MAX_GATHERED = 65_536
"""Tiles remembered while the database is away; beyond it the oldest notes are forgotten."""


class AccessTimes(Protocol):
    """The one call to the metadata store that a flush makes."""

    def record_lru_access(self, accesses: dict[TileId, datetime]) -> None: ...


class LruAccessBuffer:
    """Access times waiting for their flush; the latest per tile. Any thread may note and flush."""

    def __init__(self, *, flush_entries: int = 1_000, when_full: Callable[[], None] = lambda: None) -> None:
        """`when_full` is called on the noting thread at `flush_entries` tiles; it must return at once."""
        self._lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._accesses: dict[TileId, datetime] = {}
        self._flush_entries = flush_entries
        self._when_full = when_full

    def note(self, tile_id: TileId, at: datetime) -> None:
        """Remember that a tile was read."""
        with self._lock:
            # Taken out and put back so that the dictionary stays in order of use.
            self._accesses.pop(tile_id, None)
            self._accesses[tile_id] = at
            count = len(self._accesses)
            if count > MAX_GATHERED:
                del self._accesses[next(iter(self._accesses))]
        if count == self._flush_entries:
            self._when_full()

    def flush(self, store: AccessTimes) -> int:
        """Hand everything gathered to the store; on failure it is kept for the next flush.

        Returns how many tiles were handed over. Raises `StoreUnavailableError`.
        """
        with self._flush_lock:
            with self._lock:
                taken, self._accesses = self._accesses, {}
            if not taken:
                return 0
            try:
                store.record_lru_access(taken)
            except BaseException:
                with self._lock:
                    taken.update(self._accesses)
                    self._accesses = dict(list(taken.items())[-MAX_GATHERED:])
                raise
            return len(taken)

    def __len__(self) -> int:
        return len(self._accesses)
