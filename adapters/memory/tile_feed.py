"""A feed of the commits to rows in memory, for the stores that share the rows."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from ...domain.errors import StoreUnavailableError
from ...domain.ports.tile_catalogue import TileChangeListener
from ...domain.values.tile_changes import TileChange
from .tile_metadata import MemoryTileMetadataStore

RETRY_S = 0.05
"""Seconds before a failed query of the rows is repeated."""


class MemoryTileFeed:
    """Passes commits to one follower, on a thread of its own. Collects commits from its creation on."""

    def __init__(self, rows: MemoryTileMetadataStore) -> None:
        self._commits: queue.SimpleQueue[Sequence[TileChange] | None] = queue.SimpleQueue()
        self._end = rows.listen(self._commits.put)
        self._thread: threading.Thread | None = None

    def follow(self, follower: TileChangeListener) -> None:
        """Start passing commits to `follower`, whose catalogue was loaded after this feed was created."""
        self._thread = threading.Thread(target=self._run, args=(follower,), daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have the follower called soon, even without a commit; returns immediately."""
        self._commits.put(())

    def close(self) -> None:
        """Pass on every commit until now, then stop; a second call does nothing."""
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
