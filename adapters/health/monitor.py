"""The health of this process's parts, from what they know already."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...domain.ports.clock import Clock
from ...domain.values.health import Degradation, Health


class PartsMonitor:
    """A `HealthMonitor` that any thread may ask; one thread, that of the flight loop, beats."""

    def __init__(self, degradations: Callable[[], Iterable[Degradation]], clock: Clock) -> None:
        """`degradations` names the states that are degraded now; it must not wait."""
        self._degradations = degradations
        self._clock = clock
        self._beats = 0
        self._beat_at: float | None = None

    def health(self) -> Health:
        beat_at = self._beat_at
        since = None if beat_at is None else max(0.0, self._clock.monotonic() - beat_at)
        return Health(tuple(self._degradations()), self._beats, since)

    def beat(self) -> None:
        self._beat_at = self._clock.monotonic()
        self._beats += 1
