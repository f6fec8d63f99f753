"""Which tiles were read last, gathered in memory so that a read costs no database round trip."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Protocol

from .moments import microseconds_of
from .tiles import TileId

MAX_GATHERED = 65_536
"""Tiles remembered while the database is away; beyond it the oldest notes are forgotten."""
BATCH = 1_000
"""Tiles in one statement: how long it locks their rows."""


class AccessTimes(Protocol):
    """The one call to the metadata store that a flush makes."""

    def record_lru_access(self, accesses: dict[TileId, datetime]) -> None: ...


class AccessedTiles(Protocol):
    """The one call to the catalogue that a flush makes."""

    def note_accesses(self, tile_ids: Sequence[TileId], accessed_us: Sequence[int]) -> None: ...


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

    def note_in(self, catalogue: AccessedTiles) -> None:
        """Tell the catalogue of everything gathered; the store hears of it with the next flush."""
        with self._lock:
            gathered = dict(self._accesses)
        _note(gathered, catalogue)

    def flush(self, store: AccessTimes, catalogue: AccessedTiles) -> int:
        """Tell the catalogue, and hand everything gathered to the store, sorted, in batches.

        What the store did not take is kept for the next flush. Returns how many tiles were handed over.
        Raises `StoreUnavailableError`.
        """
        with self._flush_lock:
            with self._lock:
                taken, self._accesses = self._accesses, {}
            _note(taken, catalogue)
            # Rows that were written together lie together, and are mostly neighbours.
            in_order = iter(sorted(taken, key=_place))
            waiting = dict(taken)
            try:
                while batch := list(islice(in_order, BATCH)):
                    store.record_lru_access({tile_id: taken[tile_id] for tile_id in batch})
                    for tile_id in batch:
                        del waiting[tile_id]
            except BaseException:
                with self._lock:
                    for tile_id in self._accesses:
                        waiting.pop(tile_id, None)
                    waiting.update(self._accesses)
                    self._accesses = dict(list(waiting.items())[-MAX_GATHERED:])
                raise
            return len(taken)

    def __len__(self) -> int:
        return len(self._accesses)


def _note(accesses: dict[TileId, datetime], catalogue: AccessedTiles) -> None:
    catalogue.note_accesses(list(accesses), [microseconds_of(at) for at in accesses.values()])


def _place(tile_id: TileId) -> tuple[int, int, int]:
    return tile_id.zoom_level, tile_id.x, tile_id.y
