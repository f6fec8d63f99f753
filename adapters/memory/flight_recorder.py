"""A flight recorder over a list."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ...domain.flight_events import FlightEvent
from ...domain.make_events import fix_event
from ...domain.values.lookups import PositionFix


class MemoryFlightRecorder:
    """A `FlightRecorder` in memory; nothing is durable.

    It stores the first `limit` events and counts later events as dropped, as a full queue does.
    """

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, got {limit!r}")
        self._limit = limit
        self._events: list[FlightEvent] = []
        self._dropped = 0
        self._lock = threading.Lock()

    def record(self, event: FlightEvent) -> None:
        """Append an event. What is no event, and an event beyond `limit`, is counted as dropped."""
        with self._lock:
            if len(self._events) < self._limit and isinstance(event, FlightEvent):
                self._events.append(event)
            else:
                self._dropped += 1

    def record_later(self, make: Callable[[], FlightEvent]) -> None:
        """See `RecordsLater`; `make` is called here."""
        try:
            event: Any = make()
        except Exception:  # noqa: BLE001 - recording never fails its caller
            event = None
        self.record(event)

    def record_fix(self, fix: PositionFix) -> None:
        """See `FlightRecorder`."""
        given: Any = fix
        self.record(fix_event(fix) if isinstance(given, PositionFix) else given)

    @property
    def events(self) -> tuple[FlightEvent, ...]:
        """The stored events, in the order of recording."""
        with self._lock:
            return tuple(self._events)

    @property
    def dropped(self) -> int:
        """The number of dropped events."""
        with self._lock:
            return self._dropped
