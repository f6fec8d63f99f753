"""The contract of `FlightRecorder`, held by the record on the disk and by the list in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from aerotile.adapters.recorder import JsonLinesRecorder, read_record
from aerotile.domain.flight_events import EventKind, FlightEvent
from aerotile.testing import FlightRecorderContract, FlightRecorderSubject, ManualClock, MemoryFlightRecorder


class TestFlightRecorder(FlightRecorderContract):
    @pytest.fixture(params=["json_lines", "memory"])
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FlightRecorderSubject]:
        if request.param == "memory":
            memory = MemoryFlightRecorder()
            yield FlightRecorderSubject(
                memory, lambda: [(e.kind.value, e.reason, dict(e.payload)) for e in memory.events]
            )
            return
        recorder = JsonLinesRecorder(tmp_path, clock=ManualClock(datetime(2026, 5, 1, tzinfo=timezone.utc)))

        def recorded() -> list[tuple[str, str, dict[str, Any]]]:
            recorder.close()
            return [(e.kind, e.reason, dict(e.payload)) for e in read_record(tmp_path)]

        yield FlightRecorderSubject(recorder, recorded)
        recorder.close()


def test_a_full_memory_recorder_counts_what_it_drops() -> None:
    recorder = MemoryFlightRecorder(limit=3)
    for number in range(5):
        recorder.record(FlightEvent(EventKind.WRITE, "committed", {"number": number}))
    assert len(recorder.events) == 3
    assert recorder.dropped == 2
