"""Short ways to record events and to see them on the disk."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.recorder import JsonLinesRecorder, read_record
from aerotile.domain.flight_events import EventKind, FlightEvent


def event(number: int, **payload: Any) -> FlightEvent:
    return FlightEvent(EventKind.WRITE, "committed", {"number": number, **payload})


def recorder_in(folder: Path, **settings: Any) -> JsonLinesRecorder:
    return JsonLinesRecorder(folder, **{"clock": SystemClock(), "retry_interval_s": 0.01, **settings})


def numbers_in(folder: Path) -> list[int]:
    return [e.payload["number"] for e in read_record(folder) if e.kind == "c6.write"]


def run_python(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(program), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
    )


PRELUDE = """
    import os, signal, sys, threading
    from pathlib import Path
    from aerotile.adapters.clocks import SystemClock
    from aerotile.adapters.recorder import JsonLinesRecorder
    from aerotile.domain.flight_events import FlightEvent, EventKind

    folder = Path(sys.argv[1])

    def event(number):
        return FlightEvent(EventKind.WRITE, "committed", {"number": number})

    def wait_until(condition):
        while not condition():
            threading.Event().wait(0.005)
"""
