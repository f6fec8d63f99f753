"""The health of a process as a small file that is replaced as a whole, for a supervisor that reads files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path

from ...domain.ports.clock import Clock
from ...domain.values.health import Health
from ..files.atomic_file import atomic_file

_log = logging.getLogger("aerotile.health")


class HealthFile:
    """One JSON object at `path`, for one writer.

    A reader finds the old object or the new one, whole. Nothing is synced: what a power cut leaves is stale
    in any case. A file that can't be written is logged once, until it can.
    """

    def __init__(self, path: Path, clock: Clock, period_s: float) -> None:
        self._path = path
        self._clock = clock
        self._period_s = period_s
        self._failing = False

    def write(self, health: Health) -> None:
        """Replace the file. Never raises because of the disk, which may keep the caller waiting."""
        facts = {
            "pid": os.getpid(),
            "written_at": self._clock.now().isoformat(timespec="milliseconds"),
            "monotonic_s": round(self._clock.monotonic(), 3),
            "period_s": self._period_s,
            "status": "degraded" if health.degradations else "ok",
            "degraded": [{"state": each.state.value, "what": each.what} for each in health.degradations],
            "beats": health.beats,
            "seconds_since_beat": None
            if health.seconds_since_beat is None
            else round(health.seconds_since_beat, 3),
        }
        try:
            with atomic_file(self._path, 0o644, durable=False, synced=False) as file:
                file.write(json.dumps(facts).encode("ascii") + b"\n")
        except OSError as error:
            if not self._failing:
                _log.warning("the health file %s can't be written: %s", self._path, error.strerror or error)
            self._failing = True
        else:
            self._failing = False

    def remove(self) -> None:
        """Remove the file: the process ends in order."""
        with contextlib.suppress(OSError):
            self._path.unlink()
