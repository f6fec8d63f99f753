"""How many bytes an hour one kind of event may take on the flight record."""

from __future__ import annotations

import attrs

HOUR_S = 3_600.0
_BURST = 0.1
"""The part of an hour's bytes that may be taken without a pause; the rest accrues evenly over the hour."""


@attrs.frozen
class HourlyAllowance:
    """The bytes that may be taken now. In any hour `bytes_per_hour` are taken, and at most one line more."""

    bytes_per_hour: int
    available: float
    """Bytes; below 0 after a line that took more than there were."""
    as_of_s: float
    """Monotonic seconds."""

    @classmethod
    def full(cls, bytes_per_hour: int, now_s: float) -> HourlyAllowance:
        """The allowance of a record that begins now."""
        return cls(bytes_per_hour, bytes_per_hour * _BURST, now_s)

    def spend(self, size: int, now_s: float) -> HourlyAllowance | None:
        """The allowance after a line of `size` bytes was taken; None: the line has to be left out."""
        accrued = (now_s - self.as_of_s) * self.bytes_per_hour * (1 - _BURST) / HOUR_S
        available = min(self.available + accrued, self.bytes_per_hour * _BURST)
        if available <= 0:
            return None
        return attrs.evolve(self, available=available - size, as_of_s=now_s)
