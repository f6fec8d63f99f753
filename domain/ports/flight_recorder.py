"""Where every decision is noted for investigators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from ..flight_events import FlightEvent
from ..values.lookups import PositionFix


@runtime_checkable
class FlightRecorder(Protocol):
    """Where every decision is noted for investigators."""

    def record(self, event: FlightEvent) -> None:
        """Record an event. Never blocks, never raises; a full queue drops the event and counts the drop."""
        ...

    def record_fix(self, fix: PositionFix) -> None:
        """Record a position that the flight stack derived from a tile. Never blocks, never raises."""
        ...


class RecordsLater(FlightRecorder, Protocol):
    """A recorder that also takes events which are yet to be made, at no cost to its caller."""

    def record_later(self, make: Callable[[], FlightEvent]) -> None:
        """As `record`, of the event that `make` gives. `make` is called once, maybe on another thread."""
        ...
