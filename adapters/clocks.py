"""The machine's own clock."""

from __future__ import annotations

import time
from datetime import datetime, timezone


class SystemClock:
    """The domain's `Clock` over the operating system: wall time in UTC, seconds since boot, a real sleep."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Seconds since boot, those that the machine slept included; they never go back."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Block this thread for `seconds`. Raises `ValueError` for a negative number."""
        time.sleep(seconds)
