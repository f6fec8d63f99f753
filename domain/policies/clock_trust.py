"""Whether a clock can be right: an aircraft may boot without a battery, and a fix may set its clock."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from enum import Enum

import attrs

EARLIEST = datetime(2025, 1, 1, tzinfo=timezone.utc)
"""Aerotile did not exist before: a clock that shows an earlier time was never set."""
LATEST = datetime(2050, 1, 1, tzinfo=timezone.utc)
"""No aircraft flies this version after: a later time is an overflow or a guess."""
TOLERANCE = timedelta(minutes=5)
"""How far two correct clocks may differ."""


def is_in_future(moment: datetime, now: datetime) -> bool:
    """Whether `moment` lies ahead of `now` by more than `TOLERANCE`."""
    return moment - now > TOLERANCE


def is_in_past(moment: datetime, now: datetime) -> bool:
    """Whether `moment` lies behind `now` by more than `TOLERANCE`."""
    return now - moment > TOLERANCE


class ClockFaultReason(str, Enum):
    """Why a clock can't be right."""

    BEFORE_AEROTILE = "before_aerotile"
    """Earlier than 2025: the clock was never set."""
    BEYOND_AEROTILE = "beyond_aerotile"
    """Later than 2049."""
    BEHIND = "behind"
    """More than 5 minutes behind a time that is proven."""
    AHEAD = "ahead"
    """More than 5 minutes ahead of the last trusted time and the seconds since."""


_SENTENCES = {
    ClockFaultReason.BEFORE_AEROTILE: "the clock says {says}, which is before Aerotile existed",
    ClockFaultReason.BEYOND_AEROTILE: "the clock says {says}, which is beyond the life of this version",
    ClockFaultReason.BEHIND: "the clock says {says}, but it was {known} already",
    ClockFaultReason.AHEAD: "the clock says {says}, but by the time that has passed it is {known}",
}


@attrs.frozen
class ClockFault:
    """Why a clock can't be right; `str` says it in one clause."""

    reason: ClockFaultReason
    """Which check failed."""
    clock_says: datetime
    """What the clock shows."""
    known: datetime
    """The earliest time that it can be."""

    def __str__(self) -> str:
        says, known = (moment.isoformat(timespec="seconds") for moment in (self.clock_says, self.known))
        return _SENTENCES[self.reason].format(says=says, known=known)


def find_clock_fault(
    clock_says: datetime, *, known: datetime = EARLIEST, passed: datetime | None = None
) -> ClockFault | None:
    """Why a clock can't be right; None when it can.

    `known` is the latest time proven by stored data. `passed` is the last trusted time of this clock plus the
    seconds that a monotonic clock has counted since; None when this clock was never trusted.
    """
    at_least = max(known, EARLIEST) if passed is None else max(known, EARLIEST, passed)
    if clock_says < EARLIEST:
        reason = ClockFaultReason.BEFORE_AEROTILE
    elif clock_says > LATEST:
        reason = ClockFaultReason.BEYOND_AEROTILE
    elif is_in_past(clock_says, at_least):
        reason = ClockFaultReason.BEHIND
    elif passed is not None and is_in_future(clock_says, at_least):
        reason = ClockFaultReason.AHEAD
    else:
        return None
    return ClockFault(reason, clock_says, at_least)
