"""The flight recorder: a bounded queue, and a thread that writes the queued events to the disk."""

from __future__ import annotations

import itertools
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue

import attrs

from ...domain.flight_events import EventKind, FlightEvent, RecordEnvelope
from ...domain.make_events import fix_event, lookups_thinned_event, recorder_dropped_event
from ...domain.policies.record_allowance import HourlyAllowance
from ...domain.ports.clock import Clock
from ...domain.values.lookups import PositionFix
from ..own_process import OwnProcess
from .journal import Journal
from .line_format import encode_line

_logger = logging.getLogger(__name__)
_CLOSE_TIMEOUT_S = 5.0
_PERIOD_S = 0.1
"""How often the thread looks at the queue. It never waits for an event: to wake a thread costs the caller of
`record` tens of microseconds, and each time that the thread wakes, it takes the interpreter's lock."""

_Entry = tuple[FlightEvent | None, Callable[[], FlightEvent] | None, datetime, float]
"""The event or what makes it, and the two times."""


@attrs.frozen
class RecorderStatus:
    """The counts and the state of a recorder."""

    written: int
    """Lines written, synced or not."""
    dropped: int
    """Lost events: the queue was full, the recorder closed, the disk failed until the end, or it was none."""
    failures: int
    """Writes and syncs that failed."""
    failing: bool
    """Whether lines are still pending or unsynced since the last failure."""
    last_error: str | None
    thinned: int
    """Lookups that were left out, because they would take more than `lookup_bytes_per_hour`."""


class JsonLinesRecorder:
    """A `FlightRecorder` over the segments of one folder (see `segments` and `line_format`).

    `record` takes the two clocks and puts the event into a queue; it never blocks, never raises and takes no
    lock, so signal handlers may call it too. The payload must not be changed afterwards. When `queue_size`
    events wait, further ones are dropped, counted, and the count recorded as `c0.recorder.dropped` when there
    is room again.

    Durability: an event is on the disk `sync_interval_s` seconds after it was recorded, 0.1 at least, and the
    time that the disk takes; or when `close` returns. A power cut loses later events only. A disk that fails
    is tried again every `retry_interval_s` seconds; meanwhile the queue fills and drops are counted. Lines
    written since the last good sync may be missing after a failed sync and a power cut: later lines go into
    another segment, and the old segment is never reported as durable.

    Disk: segments of `segment_bytes`, the oldest deleted beyond `max_total_bytes`. Lookups take at most
    `lookup_bytes_per_hour`; beyond it they are left out, evenly over the hour, counted, and the count is
    recorded as `c6.lookup.thinned` before the next lookup or at the close. In a forked child, events
    are dropped and counted: the parent writes the queued events, and the child needs a recorder of its own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        queue_size: int = 8192,
        sync_interval_s: float = 0.5,
        segment_bytes: int = 64 << 20,
        max_total_bytes: int = 4 << 30,
        lookup_bytes_per_hour: int = 256 << 20,
        retry_interval_s: float = 1.0,
    ) -> None:
        for name, value in (
            ("queue_size", queue_size),
            ("segment_bytes", segment_bytes),
            ("lookup_bytes_per_hour", lookup_bytes_per_hour),
        ):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value!r}")
        if max_total_bytes < segment_bytes:
            raise ValueError(
                f"max_total_bytes must be at least segment_bytes ({segment_bytes}), got {max_total_bytes!r}"
            )
        self._process = OwnProcess()
        self._clock = clock
        self._queue_size = queue_size
        self._closed = False
        journal = Journal(
            folder,
            clock=clock,
            segment_bytes=segment_bytes,
            max_total_bytes=max_total_bytes,
            # Of which an event may have waited a period for the thread to look.
            sync_interval_s=max(0.0, sync_interval_s - _PERIOD_S),
        )
        self._writer = _Writer(
            journal, clock, retry_interval_s, HourlyAllowance.full(lookup_bytes_per_hour, clock.monotonic())
        )
        # Runs at interpreter exit too, when a recorder that was not closed still has events.
        self._shut_down = weakref.finalize(self, _shut_down, self._writer, self._process)
        self._writer.thread.start()

    def record(self, event: FlightEvent) -> None:
        """Note an event; never blocks and never raises. A full queue drops it and counts the drop."""
        self._note(event, None)

    def record_later(self, make: Callable[[], FlightEvent]) -> None:
        """As `record`, of the event that `make` gives; the recorder's thread calls it, once."""
        self._note(None, make)

    def _note(self, event: FlightEvent | None, make: Callable[[], FlightEvent] | None) -> None:
        writer = self._writer
        try:
            # Threads that pass this check together overshoot the bound by at most one event each.
            if not self._process.is_current or self._closed or len(writer.queue) >= self._queue_size:
                writer.dropped.add()
            else:
                writer.queue.append((event, make, self._clock.now(), self._clock.monotonic()))
        except Exception:  # noqa: BLE001 - the port promises that recording never fails its caller
            writer.refused.add()

    def record_fix(self, fix: PositionFix) -> None:
        """See `FlightRecorder`."""
        try:
            event = fix_event(fix)
        except Exception:  # noqa: BLE001 - as `record`
            self._writer.refused.add()
        else:
            self.record(event)

    def status(self) -> RecorderStatus:
        """The recorder's counts and state."""
        journal = self._writer.journal
        return RecorderStatus(
            written=journal.lines_written,
            dropped=self._writer.dropped.value() + self._writer.refused.value(),
            failures=journal.failures,
            failing=journal.failing,
            last_error=journal.last_error,
            thinned=self._writer.thinned,
        )

    def close(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> None:
        """Write the queued events to the disk and stop; a second call finishes a first that was interrupted.

        Waits at most `timeout_s` seconds for a disk that hangs; a disk that fails gets one more try.
        """
        self._closed = True
        if self._shut_down.alive:
            self._writer.stop(self._process, timeout_s)
            self._shut_down.detach()


class _Tally:
    """A counter whose `add` takes no lock: `next` of an `itertools.count` is one atomic step."""

    def __init__(self, reason_code: str) -> None:
        self.reason_code = reason_code
        self.recorded = 0
        """How many of them the record knows of."""
        self._steps = itertools.count()
        self._reads = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        next(self._steps)

    def value(self) -> int:
        # A read is a step too, so earlier reads are subtracted.
        with self._lock:
            value = next(self._steps) - self._reads
            self._reads += 1
            return value


class _Writer:
    """The thread between queue and journal. It has no reference to the recorder, which can be collected."""

    def __init__(
        self, journal: Journal, clock: Clock, retry_interval_s: float, lookups: HourlyAllowance
    ) -> None:
        # `append` of a deque is one atomic step: it takes no lock, and wakes no thread.
        self.queue: deque[_Entry] = deque()
        self.dropped = _Tally("queue_full")
        self.refused = _Tally("no_event")
        self.journal = journal
        self.thread = threading.Thread(target=self._run, name="aerotile-recorder", daemon=True)
        self._clock = clock
        self._retry_interval_s = retry_interval_s
        self._stopping = False
        # An interrupt of `stop` leaves no lock of this queue held, as it can that of an `Event`.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._behind = False
        """Whether the journal had no room for all that was queued."""
        self._lookups = lookups
        self.thinned = 0
        self._thinned_recorded = 0

    def stop(self, owner: OwnProcess, timeout_s: float) -> None:
        """Let the thread finish and wait for it.

        A child made by fork has no such thread, and its copy of the queue may be locked for ever.
        """
        if not owner.is_current:
            return
        self._stopping = True
        self._wakes.put(None)
        if threading.current_thread() is self.thread:  # on which the recorder was collected
            return
        self.thread.join(timeout_s)
        if self.thread.is_alive():
            _logger.warning("the flight record's disk is stuck; queued events may be lost")

    def _run(self) -> None:
        while True:
            # Read before the queue, which then has all events from before `stop`.
            stopping = self._stopping
            try:
                self._step()
            except Exception:
                _logger.exception("the flight recorder failed and continues")
                if stopping:  # one more try, as a disk that fails gets; the wait would end immediately
                    break
                self._wait(self._retry_interval_s)
            if stopping and (self.journal.failing or not self.queue):
                break
        try:
            self._record_thinned()
            self.journal.close()
        except Exception:
            _logger.exception("the flight recorder failed at its end")
        for _ in range(self.journal.pending_lines + len(self.queue)):
            self.dropped.add()

    def _wait(self, seconds: float) -> None:
        """Wait so long, or until `stop`."""
        if not self._stopping:
            with suppress(Empty):
                self._wakes.get(timeout=seconds)

    def _step(self) -> None:
        journal = self.journal
        if journal.failing:
            self._wait(self._retry_interval_s)
        elif not self._behind:
            self._wait(min(_PERIOD_S, journal.seconds_to_sync()))
        self._gather()
        journal.write()
        if journal.failing or journal.seconds_to_sync() == 0.0:
            journal.sync()

    def _gather(self) -> None:
        """Move events from the queue to the journal, as far as there is room."""
        while self.queue and self.journal.has_room:
            self._add_queued(*self.queue.popleft())
        self._behind = not self.journal.has_room
        for lost in (self.dropped, self.refused):
            drops = lost.value() - lost.recorded
            # While the disk fails, drops are summed up, so that reports of drops displace no events.
            if drops > 0 and self.journal.has_room and not self.journal.failing:
                lost.recorded += drops
                event = recorder_dropped_event(lost.reason_code, drops)
                self._add(event, self._clock.now(), self._clock.monotonic())

    def _add_queued(
        self,
        event: FlightEvent | None,
        make: Callable[[], FlightEvent] | None,
        wall_time: datetime,
        monotonic_s: float,
    ) -> None:
        try:
            event = event if make is None else make()
        except Exception:  # noqa: BLE001 - as an event made wrongly
            event = None
        if event is None:
            self.refused.add()
        else:
            self._add(event, wall_time, monotonic_s)

    def _add(self, event: FlightEvent, wall_time: datetime, monotonic_s: float) -> None:
        try:
            envelope = RecordEnvelope.of(event, wall_time=wall_time, monotonic_ns=round(monotonic_s * 1e9))
            line = encode_line(envelope)
            if event.kind is EventKind.LOOKUP:
                after = self._lookups.spend(len(line), monotonic_s)
                if after is None:
                    self.thinned += 1
                    return
                self._lookups = after
                self._record_thinned()
            self.journal.add(line)
        except Exception:  # noqa: BLE001 - an event made wrongly must not end the recording of the others
            self.refused.add()

    def _record_thinned(self) -> None:
        """Add the number of lookups that were left out since the last time."""
        count = self.thinned - self._thinned_recorded
        if count:
            self._thinned_recorded = self.thinned
            self._add(lookups_thinned_event(count), self._clock.now(), self._clock.monotonic())


def _shut_down(writer: _Writer, owner: OwnProcess) -> None:
    writer.stop(owner, _CLOSE_TIMEOUT_S)
