"""Where every decision is noted for investigators."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..flight_events import FlightEvent


@runtime_checkable
class FlightRecorder(Protocol):
    """Where every decision is noted for investigators."""

    def record(self, event: FlightEvent) -> None:
        """Note an event; never blocks and never raises. A full queue drops it and counts the drop."""
        ...
