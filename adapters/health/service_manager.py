"""What systemd is told of a service: ready, going on, its state in a line (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from ...domain.values.health import Health

_log = logging.getLogger("aerotile.health")


class ServiceManager:
    """Datagrams to the socket that systemd names in `NOTIFY_SOCKET`; without the variable, nothing.

    The watchdog is fed only while the flight loop beats: a loop that hangs is restarted, however well the
    thread that sends these datagrams may be. No call waits or raises.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is one of the abstract namespace, which begins with a zero byte.
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._watchdog_s = _watchdog_seconds(environment)
        self._beats = 0
        self._status = ""
        self._failing = False

    @property
    def is_asked(self) -> bool:
        """Whether there is a service manager that wants to know."""
        return bool(self._address)

    def period_s(self, longest_s: float) -> float:
        """How often to `tell`: twice within the time of the watchdog, and at least every `longest_s`."""
        return longest_s if self._watchdog_s is None else min(longest_s, self._watchdog_s / 2)

    def tell(self, health: Health) -> None:
        """Say what changed since the last call: READY with the first beat, WATCHDOG with others, STATUS."""
        words = []
        if health.beats > self._beats:
            words += ["WATCHDOG=1"] if self._beats else ["READY=1", "WATCHDOG=1"]
        states = ", ".join(sorted(state.value for state in health.states))
        status = f"degraded: {states}" if states else "ok"
        if status != self._status:
            words.append(f"STATUS={status}")
        if words and self._send("\n".join(words)):
            self._beats, self._status = health.beats, status

    def tell_stopping(self) -> None:
        """Say that the service ends in order."""
        self._send("STOPPING=1")

    def _send(self, words: str) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(words.encode("ascii"), self._address)
        except OSError as error:
            if not self._failing:
                _log.warning("the service manager can't be told: %s", error.strerror or error)
            self._failing = True
            return False
        self._failing = False
        return True


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """The time of the watchdog; None without one, or where it is another process's."""
    microseconds, owner = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or owner not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 1e6
