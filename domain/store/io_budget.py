"""A ceiling on how fast a background job reads, so that a scrub leaves the disk to the flight."""

from __future__ import annotations

import math

from ..ports.clock import Clock


class IoBudget:
    """So many bytes a second on average, and never more than one second's worth saved up. One thread."""

    def __init__(self, bytes_per_second: float, clock: Clock) -> None:
        """Raises `ValueError` unless `bytes_per_second` is a finite number greater than 0."""
        if not 0 < bytes_per_second < math.inf:
            raise ValueError(f"bytes_per_second must be finite and greater than 0, got {bytes_per_second!r}")
        self._rate = bytes_per_second
        self._clock = clock
        self._free_at = clock.monotonic()
        """When everything spent so far has had its time."""

    def spend(self, read_bytes: int) -> None:
        """Account for `read_bytes` that were read, and sleep as long as the budget asks for."""
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now - 1.0) + read_bytes / self._rate
        if self._free_at > now:
            self._clock.sleep(self._free_at - now)
