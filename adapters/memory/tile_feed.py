"""What is committed to rows in memory, told to the stores that share them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from ...domain.errors import StoreUnavailableError
from ...domain.ports.tile_catalogue import TileChangeListener
from ...domain.values.tile_changes import TileChange
from .tile_table import MemoryTileTable

RETRY_S = 0.05
"""How soon rows that did not answer are asked again."""


class MemoryTileFeed:
    """Tells one follower what is committed, on a thread of its own; listens from the moment it is made."""

    def __init__(self, rows: MemoryTileTable) -> None:
        self._commits: queue.SimpleQueue[Sequence[TileChange] | None] = queue.SimpleQueue()
        self._end = rows.listen(self._commits.put)
        self._thread: threading.Thread | None = None

    def follow(self, follower: TileChangeListener) -> None:
        """Start telling `follower`, which has loaded its catalogue since this feed was made."""
        self._thread = threading.Thread(target=self._run, args=(follower,), daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have the follower called soon, though nothing was committed; returns at once."""
        self._commits.put(())

    def close(self) -> None:
        """Tell what was committed until now, and stop; a second call does nothing."""
        self._end()
        self._commits.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self, follower: TileChangeListener) -> None:
        changes: Sequence[TileChange] | None = ()
        wait_s: float | None = None
        while changes is not None:
            try:
                follower.apply_changes(changes)
                wait_s = None
            except StoreUnavailableError:
                wait_s = RETRY_S
            try:
                changes = self._commits.get(timeout=wait_s)
            except queue.Empty:
                changes = ()
