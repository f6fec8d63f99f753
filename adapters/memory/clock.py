"""A clock that stands still until it is told to move."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from ...domain.values.tiles import check_aware_utc


class ManualClock:
    """A `Clock` whose time passes only through `sleep` and `advance`; any number of threads may use it.

    `start` is aware and in UTC. `monotonic` starts at 0 and counts what passed; `set` moves wall time alone,
    as a correction of the machine's clock does.
    """

    def __init__(self, start: datetime) -> None:
        check_aware_utc(start, "start")
        self._now = start
        self._monotonic = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Seconds that passed since the clock was made."""
        with self._lock:
            return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Return at once with `seconds` passed. Raises `ValueError` for a negative number."""
        self.advance(timedelta(seconds=seconds))

    def advance(self, duration: timedelta) -> None:
        """Let `duration` pass. Raises `ValueError` for a negative one."""
        if duration < timedelta(0):
            raise ValueError(f"time does not go back, got {duration!r}")
        with self._lock:
            self._now += duration
            self._monotonic += duration.total_seconds()

    def set(self, now: datetime) -> None:
        """Correct wall time, in either direction; monotonic time does not notice."""
        check_aware_utc(now, "now")
        with self._lock:
            self._now = now
