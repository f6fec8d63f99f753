"""The machine's own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

_LONGEST_NAP_S = 0.1


class SystemClock:
    """The domain's `Clock` over the operating system: wall time in UTC, seconds since boot, a real sleep."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Seconds since boot, suspended time included; never goes back."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Block this thread for `seconds`. Raises `ValueError` for a negative number."""
        time.sleep(seconds)


class InterruptibleClock(SystemClock):
    """The machine's clock; a sleep ends within 0.1 s once `stopped()` is true."""

    def __init__(self, stopped: Callable[[], bool], before_sleep: Callable[[float], None]) -> None:
        """`before_sleep(seconds)` is called before each sleep."""
        self._stopped = stopped
        self._before_sleep = before_sleep

    def sleep(self, seconds: float) -> None:
        """Block this thread for `seconds`, or until `stopped()` is true."""
        self._before_sleep(seconds)
        until = time.monotonic() + seconds
        while not self._stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LONGEST_NAP_S))
