"""The contract of `FlightRecorder`, over every implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.recorder import JsonLinesRecorder, read_record
from aerotile.domain.flight_events import FlightEvent, Kind
from aerotile.domain.ports.flight_recorder import FlightRecorder


@attrs.frozen
class Subject:
    """A recorder, and a way to see what it kept that does not go through the port."""

    recorder: FlightRecorder
    kept: Callable[[], list[tuple[str, str, dict[str, Any]]]]
    """Kind, reason and payload of each event, after everything recorded so far was taken in."""


@pytest.fixture(params=["json_lines", "memory"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "memory":
        memory = MemoryFlightRecorder()
        yield Subject(memory, lambda: [(e.kind.value, e.reason, dict(e.payload)) for e in memory.events])
        return
    recorder = JsonLinesRecorder(tmp_path, clock=ManualClock(datetime(2026, 5, 1, tzinfo=timezone.utc)))

    def kept() -> list[tuple[str, str, dict[str, Any]]]:
        recorder.close()
        return [(e.kind, e.reason, dict(e.payload)) for e in read_record(tmp_path)]

    yield Subject(recorder, kept)
    recorder.close()


def test_it_is_a_flight_recorder(subject: Subject) -> None:
    assert isinstance(subject.recorder, FlightRecorder)


def test_events_are_kept_in_the_order_in_which_they_were_recorded(subject: Subject) -> None:
    for number in range(500):
        subject.recorder.record(FlightEvent(Kind.WRITE, "committed", {"number": number}))
    assert subject.kept() == [("c6.write", "committed", {"number": n}) for n in range(500)]


def test_nothing_is_lost_or_doubled_when_threads_record_at_once(subject: Subject) -> None:
    def record(worker: int) -> None:
        for number in range(100):
            subject.recorder.record(FlightEvent(Kind.WRITE, "committed", {"of": [worker, number]}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(8)))
    expected = [[worker, number] for worker in range(8) for number in range(100)]
    assert sorted(payload["of"] for _, _, payload in subject.kept()) == expected


class _Unfriendly:
    def __repr__(self) -> str:
        raise RuntimeError("no repr for you")


@pytest.mark.parametrize(
    "value",
    [object(), _Unfriendly(), float("nan"), b"bytes", {1: 2}, "\ud800", "é\n\r\u2028"],
    ids=["object", "no_repr", "nan", "bytes", "number_key", "surrogate", "newlines"],
)
def test_no_payload_makes_recording_raise_or_costs_the_event(subject: Subject, value: object) -> None:
    subject.recorder.record(FlightEvent(Kind.WRITE, "committed", {"value": value}))
    subject.recorder.record(FlightEvent(Kind.WRITE, "committed", {"after": True}))
    kept = subject.kept()
    assert len(kept) == 2
    assert kept[1][2] == {"after": True}


def test_a_full_memory_recorder_counts_what_it_drops() -> None:
    recorder = MemoryFlightRecorder(limit=3)
    for number in range(5):
        recorder.record(FlightEvent(Kind.WRITE, "committed", {"number": number}))
    assert len(recorder.events) == 3
    assert recorder.dropped == 2
