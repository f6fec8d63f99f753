"""The flight recorder on a real disk: what it writes, where it goes on, and its bounds."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_events import event, numbers_in, recorder_in
from waiting import until

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.recorder import RecordReader, read_record
from aerotile.domain.flight_events import SCHEMA_VERSION, EventKind, FlightEvent

START = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)


def test_an_event_carries_both_clocks_and_the_catalogue_facts(tmp_path: Path) -> None:
    clock = ManualClock(START)
    clock.advance(timedelta(seconds=1.5))
    recorder = recorder_in(tmp_path, clock=clock)
    recorder.record(event(1))
    recorder.close()
    (envelope,) = read_record(tmp_path)
    assert envelope.wall_time == START + timedelta(seconds=1.5)
    assert envelope.monotonic_ns == 1_500_000_000
    assert (envelope.kind, envelope.severity, envelope.schema_version) == ("c6.write", "info", SCHEMA_VERSION)


def test_an_event_reaches_the_disk_without_a_close(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.record(event(1))
    until(lambda: recorder.status().written == 1)
    assert numbers_in(tmp_path) == [1]
    recorder.close()


def test_the_wait_for_the_thread_is_part_of_the_time_to_the_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    sync = os.fdatasync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fdatasync", noted)
    clock = ManualClock(START)
    recorder = recorder_in(tmp_path, clock=clock, sync_interval_s=5.0)
    recorder.record(event(1))
    until(lambda: recorder.status().written == 1)
    clock.advance(timedelta(seconds=4.95))  # it may have waited 0.1 s before
    until(lambda: tmp_path / "record-000001.jsonl" in synced)
    recorder.close()


def test_nothing_is_made_on_the_disk_before_the_first_event(tmp_path: Path) -> None:
    recorder_in(tmp_path / "record").close()
    assert not (tmp_path / "record").exists()


def test_what_is_recorded_after_close_is_counted_as_dropped(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.close()
    recorder.close()
    recorder.record(event(1))
    assert recorder.status().dropped == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"queue_size": 0}, "queue_size"),
        ({"segment_bytes": 0}, "segment_bytes"),
        ({"segment_bytes": 10, "max_total_bytes": 9}, "max_total_bytes"),
    ],
)
def test_settings_that_can_not_work_are_refused_by_name(
    tmp_path: Path, settings: dict[str, int], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        recorder_in(tmp_path, **settings)


@pytest.mark.parametrize("tail", [b"0000", b'deadbeef {"kind":', b"\0" * 4096, b"\xff\n\xfe"])
def test_a_torn_tail_does_not_damage_what_is_recorded_next(tmp_path: Path, tail: bytes) -> None:
    for number, rest in ((1, tail), (2, b"")):
        recorder = recorder_in(tmp_path)
        recorder.record(event(number))
        recorder.close()
        with (tmp_path / "record-000001.jsonl").open("ab") as file:
            file.write(rest)
    reader = RecordReader(tmp_path)
    assert [line.envelope.payload["number"] for line in reader.lines()] == [1, 2]
    assert reader.damaged_lines == len(tail.splitlines())


def test_two_recorders_over_one_folder_each_keep_all_their_events(tmp_path: Path) -> None:
    first, second = recorder_in(tmp_path), recorder_in(tmp_path)
    for number in range(500):
        first.record(event(number))
        second.record(event(1000 + number))
    first.close()
    second.close()
    assert sorted(numbers_in(tmp_path)) == [*range(500), *range(1000, 1500)]


def test_the_next_recorder_goes_on_in_the_same_segment(tmp_path: Path) -> None:
    for number in range(3):
        recorder = recorder_in(tmp_path)
        recorder.record(event(number))
        recorder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["record-000001.jsonl"]
    assert numbers_in(tmp_path) == [0, 1, 2]


def test_a_newest_segment_that_can_not_be_opened_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / "record-000007.jsonl").symlink_to("/dev/full")
    recorder = recorder_in(tmp_path)
    recorder.record(event(1))
    recorder.close()
    assert (tmp_path / "record-000008.jsonl").stat().st_size > 0


def test_the_record_is_kept_within_its_bounds_and_the_newest_events_stay(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, segment_bytes=4096, max_total_bytes=16_384)
    for number in range(1000):
        recorder.record(event(number))
    recorder.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert max(sizes) <= 4096
    assert 8192 < sum(sizes) <= 16_384
    kept = numbers_in(tmp_path)
    assert kept == list(range(kept[0], 1000))


def test_segments_of_an_earlier_larger_bound_are_deleted_but_not_another_writers(tmp_path: Path) -> None:
    other = recorder_in(tmp_path)
    other.record(event(0))
    until(lambda: other.status().written == 1)
    before = recorder_in(tmp_path, segment_bytes=4096)
    for number in range(1, 200):
        before.record(event(number))
    before.close()
    recorder = recorder_in(tmp_path, segment_bytes=4096, max_total_bytes=8192)
    for number in range(200, 220):
        recorder.record(event(number))
    recorder.close()
    other.record(event(1000))
    other.close()
    kept = numbers_in(tmp_path)
    assert {0, 219, 1000} <= set(kept)
    assert 1 not in kept


def test_an_event_larger_than_any_line_may_be_is_kept_without_its_payload(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.record(FlightEvent(EventKind.WRITE, "committed", {"large": "x" * 2_000_000}))
    recorder.close()
    (envelope,) = read_record(tmp_path)
    assert envelope.payload["unencodable"].startswith("{'large': 'xxx")
    assert len(envelope.payload["unencodable"]) <= 1000


def test_numbers_of_numpy_are_recorded_as_numbers(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    payload = {"count": np.int64(3), "error_m": np.float32(1.5), "is_used": np.True_, "by": [np.uint8(7)]}
    recorder.record(FlightEvent(EventKind.WRITE, "committed", payload))
    recorder.record(FlightEvent(EventKind.WRITE, "committed", {"error_m": np.float32("nan"), "count": 3}))
    recorder.close()
    plain, unencodable = read_record(tmp_path)
    assert plain.payload == {"count": 3, "error_m": 1.5, "is_used": True, "by": [7]}
    assert [*unencodable.payload] == ["unencodable"]


def test_a_full_queue_drops_and_the_record_says_how_many(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    folder.touch()
    recorder = recorder_in(folder, queue_size=10)
    for number in range(5000):
        recorder.record(event(number))
    dropped = recorder.status().dropped
    assert dropped > 3000
    until(lambda: recorder.status().failing)
    folder.unlink()
    until(lambda: not recorder.status().failing)
    recorder.close()
    noted = [e.payload["dropped"] for e in read_record(folder) if e.kind == "c0.recorder.dropped"]
    assert sum(noted) == dropped
    assert len(numbers_in(folder)) == 5000 - dropped


def test_what_is_no_event_is_no_full_queue(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    none: Any = None
    for wrong in (none, "text", {"kind": "c6.write"}):
        recorder.record(wrong)
    recorder.record_fix(none)
    recorder.record(event(1))
    recorder.close()
    assert recorder.status().dropped == 4
    lost = [e for e in read_record(tmp_path) if e.kind == "c0.recorder.dropped"]
    assert {e.reason for e in lost} == {"no_event"}
    assert sum(e.payload["dropped"] for e in lost) == 4
    assert numbers_in(tmp_path) == [1]


def lookup(number: int, size: int = 1_000) -> FlightEvent:
    return FlightEvent(EventKind.LOOKUP, "graph", {"number": number, "filler": "x" * size})


def test_lookups_beyond_their_bytes_an_hour_are_left_out_counted_and_the_count_recorded(
    tmp_path: Path,
) -> None:
    clock = ManualClock(START)
    recorder = recorder_in(tmp_path, clock=clock, lookup_bytes_per_hour=100_000)
    for number in range(30):  # a tenth of the hour's bytes is there at the begin
        recorder.record(lookup(number))
    recorder.record(event(30))
    clock.advance(timedelta(hours=1))
    recorder.record(lookup(31))
    for number in range(32, 50):
        recorder.record(lookup(number))
    recorder.close()
    envelopes = list(read_record(tmp_path))
    numbers = [e.payload["number"] for e in envelopes if e.kind == "c6.lookup"]
    thinned = [e.payload["count"] for e in envelopes if e.kind == "c6.lookup.thinned"]
    assert numbers[:3] == [0, 1, 2]
    assert 30 not in numbers
    assert 31 in numbers
    assert [e.payload["number"] for e in envelopes if e.kind == "c6.write"] == [30]
    assert len(thinned) == 2
    assert len(numbers) + sum(thinned) == 49
    assert recorder.status().thinned == sum(thinned)
    assert recorder.status().dropped == 0
    kinds = [e.kind for e in envelopes]
    again = next(number for number, e in enumerate(envelopes) if e.payload.get("number") == 31)
    assert (kinds[again - 1], kinds[-1]) == ("c6.lookup.thinned", "c6.lookup.thinned")
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert written < 30_000


def test_a_payload_that_can_not_be_made_costs_its_own_event_alone(tmp_path: Path) -> None:
    class Unmade(dict):  # type: ignore[type-arg] # a payload that fails when the writer makes it
        def keys(self) -> object:  # type: ignore[override] # it returns nothing
            raise RuntimeError("it can't be made")

    recorder = recorder_in(tmp_path)
    recorder.record(FlightEvent(EventKind.LOOKUP, "graph", Unmade(number=1)))
    recorder.record(event(2))
    recorder.close()
    assert numbers_in(tmp_path) == [2]
