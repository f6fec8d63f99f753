"""Flushes gathered access times to the database on a thread of its own."""

from __future__ import annotations

import logging
import threading

from ..domain.errors import StoreUnavailableError
from ..domain.lru import AccessTimes, LruAccessBuffer

_log = logging.getLogger("aerotile.lru")


class LruFlusher:
    """Flushes every few seconds, when woken, and at close; keeps what it has while the database is away."""

    def __init__(self, buffer: LruAccessBuffer, store: AccessTimes, *, interval_s: float) -> None:
        self._buffer = buffer
        self._store = store
        self._interval_s = interval_s
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="aerotile-lru", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Flush soon; returns at once."""
        self._wake.set()

    def flush(self) -> None:
        """Flush now, on the calling thread; while the database is away the order of eviction gets older."""
        try:
            self._buffer.flush(self._store)
        except StoreUnavailableError as error:
            _log.info("access times are kept until the database is back: %s", error)

    def close(self) -> None:
        """Stop the thread and flush what is left."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            if not self._closing:
                self.flush()
