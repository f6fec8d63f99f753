"""The contract of `FlightRecorder`, held by the record on the disk and by the list in memory.

Both also take events that are yet to be made; a recorder with the methods of the port alone is one too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from aerotile.adapters.recorder import JsonLinesRecorder, read_record
from aerotile.domain.flight_events import EventKind, FlightEvent
from aerotile.domain.lookups.recorded_index import RecordsLater
from aerotile.domain.values.lookups import PositionFix
from aerotile.testing import FlightRecorderContract, FlightRecorderSubject, ManualClock, MemoryFlightRecorder


class PortAlone:
    """Somebody else's recorder."""

    def __init__(self, events: MemoryFlightRecorder) -> None:
        self._events = events

    def record(self, event: FlightEvent) -> None:
        self._events.record(event)

    def record_fix(self, fix: PositionFix) -> None:
        self._events.record_fix(fix)


@attrs.frozen
class LaterSubject:
    recorder: RecordsLater
    recorded: Callable[[], list[tuple[str, str, dict[str, Any]]]]


def events_of(memory: MemoryFlightRecorder) -> list[tuple[str, str, dict[str, Any]]]:
    return [(e.kind.value, e.reason, dict(e.payload)) for e in memory.events]


@pytest.fixture(params=["json_lines", "memory"])
def later(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LaterSubject]:
    if request.param == "memory":
        memory = MemoryFlightRecorder()
        yield LaterSubject(memory, partial(events_of, memory))
        return
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=timezone.utc))
    with closing(JsonLinesRecorder(tmp_path, clock=clock)) as recorder:

        def recorded() -> list[tuple[str, str, dict[str, Any]]]:
            recorder.close()
            return [(e.kind, e.reason, dict(e.payload)) for e in read_record(tmp_path)]

        yield LaterSubject(recorder, recorded)


class TestFlightRecorder(FlightRecorderContract):
    @pytest.fixture
    def subject(self, later: LaterSubject) -> FlightRecorderSubject:
        return FlightRecorderSubject(later.recorder, later.recorded)


class TestPortAlone(FlightRecorderContract):
    @pytest.fixture
    def subject(self) -> FlightRecorderSubject:
        memory = MemoryFlightRecorder()
        return FlightRecorderSubject(PortAlone(memory), partial(events_of, memory))


def test_an_event_that_is_made_later_has_its_place_in_the_order(later: LaterSubject) -> None:
    calls: list[int] = []

    def make(number: int) -> FlightEvent:
        calls.append(number)
        return FlightEvent(EventKind.WRITE, "committed", {"number": number})

    for number in range(0, 20, 2):
        later.recorder.record_later(partial(make, number))
        later.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"number": number + 1}))
    assert [payload["number"] for _, _, payload in later.recorded()] == list(range(20))
    assert calls == list(range(0, 20, 2))


def test_an_event_that_can_not_be_made_costs_itself_alone(later: LaterSubject) -> None:
    def make() -> FlightEvent:
        raise OSError("no such event")

    later.recorder.record_later(make)
    later.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"after": True}))
    written = [payload for kind, _, payload in later.recorded() if kind == "c6.write"]
    assert written == [{"after": True}]


def test_a_full_memory_recorder_counts_what_it_drops() -> None:
    recorder = MemoryFlightRecorder(limit=3)
    for number in range(5):
        recorder.record(FlightEvent(EventKind.WRITE, "committed", {"number": number}))
    assert len(recorder.events) == 3
    assert recorder.dropped == 2
