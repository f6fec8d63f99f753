"""Where every decision is noted for investigators."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..flight_events import FlightEvent
from ..values.lookups import PositionFix


@runtime_checkable
class FlightRecorder(Protocol):
    """Where every decision is noted for investigators."""

    def record(self, event: FlightEvent) -> None:
        """Record an event. Never blocks, never raises; a full queue drops the event and counts the drop."""

    def record_fix(self, fix: PositionFix) -> None:
        """Record a position that the flight stack derived from a tile. Never blocks, never raises."""
