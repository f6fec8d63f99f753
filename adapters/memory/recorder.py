"""A flight recorder that keeps its events in a list."""

from __future__ import annotations

import threading

from ...domain.flight_events import FlightEvent


class MemoryFlightRecorder:
    """A `FlightRecorder` in memory, for tests and small tools; nothing survives the process.

    Keeps the first `limit` events and counts the rest as dropped, as a full queue does.
    """

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, got {limit!r}")
        self._limit = limit
        self._events: list[FlightEvent] = []
        self._dropped = 0
        self._lock = threading.Lock()

    def record(self, event: FlightEvent) -> None:
        """Note an event, or count it as dropped when `limit` events are held."""
        with self._lock:
            if len(self._events) < self._limit:
                self._events.append(event)
            else:
                self._dropped += 1

    @property
    def events(self) -> tuple[FlightEvent, ...]:
        """What was recorded, in order."""
        with self._lock:
            return tuple(self._events)

    @property
    def dropped(self) -> int:
        """How many events found no room."""
        with self._lock:
            return self._dropped
