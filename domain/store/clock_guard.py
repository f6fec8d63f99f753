"""A clock that is watched: time for ages and orders that follows no jump, and says that there was one."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Protocol

from ..flight_events import clock_trusted_event, clock_untrusted_event
from ..policies.clock_trust import EARLIEST, LATEST, TOLERANCE, ClockFault, find_clock_fault
from ..ports.clock import Clock
from ..ports.flight_recorder import FlightRecorder
from ..values.timestamps import MICROSECOND, microseconds_of, timestamp_of

_log = logging.getLogger("aerotile.clock")

_LATEST_US = microseconds_of(LATEST)


class KnownTimes(Protocol):
    """The calls to the catalogue that a watch makes; microseconds since 1970."""

    def latest_capture_us(self) -> int: ...

    def latest_access_us(self) -> int: ...


def latest_known(latest_capture_us: int, latest_access_us: int) -> datetime:
    """The latest moment that has been for certain, by the latest capture and the latest access of any tile.

    A capture time may have been ahead of the clock by the tolerance. What no clock may say is no evidence.
    """
    capture_us = latest_capture_us - TOLERANCE // MICROSECOND
    known_us = max((us for us in (capture_us, latest_access_us) if us <= _LATEST_US), default=0)
    return max(timestamp_of(known_us), EARLIEST)


class ClockGuard:
    """A `Clock` whose `now` is the clock's own time while nothing speaks against it.

    Otherwise it is the last time that could be believed, and at least the latest that is known to have been,
    with the seconds that have passed since. Any number of threads may ask at once.

    A clock that was moved ahead stays in doubt until it is back, or until the store is opened anew: which of
    the two times was wrong can't be known from here.
    """

    def __init__(self, clock: Clock, known: KnownTimes, recorder: FlightRecorder) -> None:
        self._clock = clock
        self._known = known
        self._recorder = recorder
        self._lock = threading.Lock()
        self._time = EARLIEST
        """How late it was at `_seconds` on the monotonic clock, or later when `_believed` is False."""
        self._seconds = clock.monotonic()
        self._believed = False
        self.doubt: ClockFault | None = None
        """What speaks against the clock, as of the last time that it was asked."""
        # Between these two nothing has to be looked at: empty at first.
        self._from, self._until = LATEST, EARLIEST

    def now(self) -> datetime:
        """See `Clock`."""
        says = self._clock.now()
        return says if self._from <= says <= self._until else self.look()

    def look(self) -> datetime:
        """`now`, after looking at everything that is known; records a change of mind."""
        with self._lock:
            says, seconds = self._clock.now(), self._clock.monotonic()
            time = self._time + timedelta(seconds=seconds - self._seconds)
            known = latest_known(self._known.latest_capture_us(), self._known.latest_access_us())
            doubt = find_clock_fault(says, known=known, passed=time if self._believed else None)
            if doubt is None:
                time, self._believed = says, True
                self._from, self._until = says - TOLERANCE, says + TOLERANCE
            else:
                time = max(time, known)
                self._from, self._until = LATEST, EARLIEST
            self._time, self._seconds = time, seconds
            former, self.doubt = self.doubt, doubt
        self._tell(former, doubt)
        return time

    def stamp(self, count: int = 1) -> datetime:
        """The first of `count` consecutive microseconds that end now, behind every access that is known.

        For what is put into an order: a clock that went back must not put the new before the old.
        """
        known_us = self._known.latest_access_us()
        first = self.now() - (count - 1) * MICROSECOND
        return first if known_us > _LATEST_US else max(first, timestamp_of(known_us) + MICROSECOND)

    def monotonic(self) -> float:
        """See `Clock`."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        self._clock.sleep(seconds)

    def _tell(self, former: ClockFault | None, doubt: ClockFault | None) -> None:
        if doubt is None and former is not None:
            self._recorder.record(clock_trusted_event(former))
            _log.info("the clock is trusted again")
        elif doubt is not None and (former is None or former.reason is not doubt.reason):
            self._recorder.record(clock_untrusted_event(doubt))
            _log.warning("the clock is not trusted: %s", doubt)
