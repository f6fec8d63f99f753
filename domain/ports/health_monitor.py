"""How a process is, for its flight loop and for what supervises it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..values.health import Health


@runtime_checkable
class HealthMonitor(Protocol):
    """The health of what this process has opened, and whether its flight loop goes on."""

    def health(self) -> Health:
        """Which states are degraded now; see `DegradedState`. Never waits: opens, asks and reads nothing."""

    def beat(self) -> None:
        """Say that the flight loop goes on: once for each frame, also for one without a fix. Never waits.

        The first beat makes the service ready under systemd, and each later one feeds its watchdog.
        """
