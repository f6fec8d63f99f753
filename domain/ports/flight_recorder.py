"""Where every decision is noted for investigators."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..flight_events import FlightEvent


@runtime_checkable
class FlightRecorder(Protocol):
    """Where every decision is noted for investigators."""

    def record(self, event: FlightEvent) -> None:
        """Record an event. Never blocks, never raises; a full queue drops the event and counts the drop."""
        ...
