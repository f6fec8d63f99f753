"""A guarded clock: time for ages and for ordering that follows no jump of the clock, and reports the jump."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import Protocol

from ..make_events import clock_trusted_event, clock_untrusted_event
from ..policies.clock_trust import EARLIEST, LATEST, TOLERANCE, ClockFault, find_clock_fault
from ..ports.clock import Clock
from ..ports.flight_recorder import FlightRecorder
from ..values.timestamps import MICROSECOND, microseconds_of, timestamp_of

_log = logging.getLogger("aerotile.clock")

_LATEST_US = microseconds_of(LATEST)


class KnownTimes(Protocol):
    """The calls to the catalogue that `ClockGuard` makes; microseconds since 1970."""

    def latest_capture_us(self) -> int: ...

    def latest_access_us(self) -> int: ...


def latest_known(latest_capture_us: int, latest_access_us: int) -> datetime:
    """The latest time proven by stored data: the latest capture and the latest access of any tile.

    A capture time may have been ahead of the clock by the tolerance. A time that no trusted clock can show
    proves nothing.
    """
    capture_us = latest_capture_us - TOLERANCE // MICROSECOND
    known_us = max((us for us in (capture_us, latest_access_us) if us <= _LATEST_US), default=0)
    return max(timestamp_of(known_us), EARLIEST)


class ClockGuard:
    """A `Clock` whose `now` is the clock's own time while the clock is trusted. Safe for threads.

    Otherwise `now` is the last trusted time plus the monotonic seconds since, and at least the latest time
    proven by stored data.

    A clock that was moved ahead is not trusted until it is back, or until the store is opened again: which of
    the two times was wrong can't be known here.
    """

    def __init__(self, clock: Clock, known: KnownTimes, recorder: FlightRecorder) -> None:
        self._clock = clock
        self._known = known
        self._recorder = recorder
        self._lock = threading.Lock()
        self._time = EARLIEST
        """The time at `_seconds` on the monotonic clock; a lower bound while `_believed` is False."""
        self._seconds = clock.monotonic()
        self._believed = False
        self.doubt: ClockFault | None = None
        """Why the clock is not trusted, as of its last reading; None while it is trusted."""
        # A reading between these two is trusted without `look`: no such reading at first.
        self._from, self._until = LATEST, EARLIEST

    def now(self) -> datetime:
        return self._trusted(self._clock.now())

    def _trusted(self, reading: datetime) -> datetime:
        return reading if self._from <= reading <= self._until else self.look()

    def look(self) -> datetime:
        """`now`, judged by everything that is known; records when the clock becomes trusted or untrusted."""
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

    def stamp(self, count: int = 1, *, reading: datetime | None = None) -> datetime:
        """The first of `count` consecutive microseconds that end now, all later than every known access.

        For times that order tiles: a clock that went back must not put the new before the old. `reading` is
        a time that the caller read from the clock just before; default: the clock is read here.
        """
        known_us = self._known.latest_access_us()
        now = self._trusted(self._clock.now() if reading is None else reading)
        first = now - (count - 1) * MICROSECOND
        return first if known_us > _LATEST_US else max(first, timestamp_of(known_us) + MICROSECOND)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def _tell(self, former: ClockFault | None, doubt: ClockFault | None) -> None:
        if doubt is None and former is not None:
            self._recorder.record(clock_trusted_event(former))
            _log.info("the clock is trusted again")
        elif doubt is not None and (former is None or former.reason is not doubt.reason):
            self._recorder.record(clock_untrusted_event(doubt))
            _log.warning("the clock is not trusted: %s", doubt)
