"""The contract of `FlightRecorder`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import attrs
import pytest

from ...domain.flight_events import EventKind, FlightEvent
from ...domain.ports.flight_recorder import FlightRecorder
from ...domain.values.lookups import PositionFix
from ...domain.values.tiles import TileId, TileSource


@attrs.frozen
class FlightRecorderSubject:
    """A recorder under test, and its events without the port."""

    recorder: FlightRecorder
    recorded: Callable[[], list[tuple[str, str, dict[str, Any]]]]
    """Kind, reason and payload of each event, once every event recorded so far is stored."""


class _Unfriendly:
    def __repr__(self) -> str:
        raise RuntimeError("no repr for you")


class FlightRecorderContract:
    """Holds a recorder that has recorded nothing yet."""

    @pytest.fixture
    def subject(self) -> FlightRecorderSubject:
        """The recorder under test. Override it."""
        raise NotImplementedError

    def test_it_is_a_flight_recorder(self, subject: FlightRecorderSubject) -> None:
        assert isinstance(subject.recorder, FlightRecorder)

    def test_events_are_kept_in_the_order_in_which_they_were_recorded(
        self, subject: FlightRecorderSubject
    ) -> None:
        for number in range(500):
            subject.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"number": number}))
        assert subject.recorded() == [("c6.write", "committed", {"number": n}) for n in range(500)]

    def test_nothing_is_lost_or_doubled_when_threads_record_at_once(
        self, subject: FlightRecorderSubject
    ) -> None:
        def record(worker: int) -> None:
            for number in range(100):
                subject.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"of": [worker, number]}))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(record, range(8)))
        expected = [[worker, number] for worker in range(8) for number in range(100)]
        assert sorted(payload["of"] for _, _, payload in subject.recorded()) == expected

    @pytest.mark.parametrize(
        "value",
        [object(), _Unfriendly(), float("nan"), b"bytes", {1: 2}, "\ud800", "é\n\r\u2028"],
        ids=["object", "no_repr", "nan", "bytes", "number_key", "surrogate", "newlines"],
    )
    def test_no_payload_makes_recording_raise_or_costs_the_event(
        self, subject: FlightRecorderSubject, value: object
    ) -> None:
        subject.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"value": value}))
        subject.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"after": True}))
        recorded = subject.recorded()
        assert len(recorded) == 2
        assert recorded[1][2] == {"after": True}

    def test_a_fix_of_the_flight_stack_is_an_event_in_its_order(self, subject: FlightRecorderSubject) -> None:
        at = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)
        fix = PositionFix(
            tile_id=TileId(3, 4, 2, TileSource.IMPORTED),
            lat=48.1,
            lon=11.6,
            fixed_at=at,
            error_m=4.5,
            lookup="a-7",
        )
        subject.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"before": True}))
        subject.recorder.record_fix(fix)
        assert subject.recorded()[1:] == [
            (
                "c6.fix",
                "flight_stack",
                {
                    "tile": "imported/3/4/2",
                    "lat": 48.1,
                    "lon": 11.6,
                    "fixed_at": at.isoformat(),
                    "error_m": 4.5,
                    "lookup": "a-7",
                },
            )
        ]
