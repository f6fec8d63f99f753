"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from ...domain.values.validators import check_aware_utc


class ManualClock:
    """A `Clock` that only `sleep` and `advance` move. Any number of threads may use it.

    `start` is aware and in UTC. `monotonic` starts at 0. `set` moves wall time alone, as a correction of the
    machine's clock does.
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
        """Seconds since the clock was created."""
        with self._lock:
            return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Advance by `seconds` and return immediately. Raises `ValueError` for a negative number."""
        self.advance(timedelta(seconds=seconds))

    def advance(self, duration: timedelta) -> None:
        """Move wall time and monotonic time by `duration`. Raises `ValueError` for a negative duration."""
        if duration < timedelta(0):
            raise ValueError(f"time does not go back, got {duration!r}")
        with self._lock:
            self._now += duration
            self._monotonic += duration.total_seconds()

    def set(self, now: datetime) -> None:
        """Set wall time, forwards or backwards; monotonic time stays."""
        check_aware_utc(now, "now")
        with self._lock:
            self._now = now
