"""Reading a flight record: every whole event before a cut, whatever else the files hold."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.recorder import RecordFilter, RecordReader, read_record
from aerotile.adapters.recorder.line_format import encode_line
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.flight_events import EventKind, FlightEvent, RecordEnvelope, Severity

START = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
SEGMENT = "record-000001.jsonl"


def line(number: int, kind: EventKind = EventKind.WRITE) -> bytes:
    event = FlightEvent(kind, "committed", {"number": number, "text": "Ünïcode\n"})
    moment = START + timedelta(seconds=number)
    return encode_line(RecordEnvelope.of(event, wall_time=moment, monotonic_ns=number))


def foreign_line(**changes: Any) -> bytes:
    """A line as another version of this program might have written it."""
    facts = json.loads(line(1)[9:]) | changes
    content = json.dumps(facts).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def write(folder: Path, content: bytes, name: str = SEGMENT) -> None:
    with (folder / name).open("ab") as file:
        file.write(content)


def numbers(reader: RecordReader, matching: RecordFilter | None = None) -> list[int]:
    return [found.envelope.payload["number"] for found in reader.lines(matching)]


def test_a_record_cut_at_any_byte_gives_every_whole_event_before_the_cut(tmp_path: Path) -> None:
    lines = [line(number) for number in range(4)]
    content = b"".join(lines)
    ends = [len(b"".join(lines[: count + 1])) - 1 for count in range(4)]
    path = tmp_path / SEGMENT
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        assert numbers(RecordReader(path)) == list(range(sum(cut >= end for end in ends)))


def test_a_changed_byte_costs_no_more_than_the_lines_that_it_touches(tmp_path: Path) -> None:
    content = b"".join(line(number) for number in range(4))
    path = tmp_path / SEGMENT
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x20
        path.write_bytes(damaged)
        reader = RecordReader(path)
        kept = numbers(reader)
        assert len(kept) >= 2
        assert set(kept) <= set(range(4))
        assert reader.damaged_lines >= 1


def test_damage_is_counted_and_its_first_place_kept(tmp_path: Path) -> None:
    write(tmp_path, line(1) + b"garbage\n" + line(2) + b"more\n")
    reader = RecordReader(tmp_path)
    assert numbers(reader) == [1, 2]
    assert reader.damaged_lines == 2
    assert reader.first_damaged is not None
    assert reader.first_damaged.offset == len(line(1))
    assert reader.first_damaged.path == tmp_path / SEGMENT


def test_a_line_of_endless_length_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, line(1) + b"x" * 5_000_000 + b"\n" + line(2) + b"\0" * 3_000_000)
    reader = RecordReader(tmp_path)
    assert numbers(reader) == [1, 2]
    assert reader.damaged_lines == 2


@pytest.mark.parametrize("content", [b"[]", b"{}", b"null", b"1", b"[" * 100_000, b'{"kind":1}', b"\xff"])
def test_a_line_whose_checksum_is_right_but_is_no_envelope_is_damage(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, b"%08x %s\n" % (zlib.crc32(content), content) + line(2))
    reader = RecordReader(tmp_path)
    assert numbers(reader) == [2]
    assert reader.damaged_lines == 1


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_a_number_that_no_json_holds_is_damage(tmp_path: Path, number: bytes) -> None:
    content = line(1)[9:-1].replace(b'"number":1', b'"number":' + number)
    write(tmp_path, b"%08x %s\n" % (zlib.crc32(content), content) + line(2))
    reader = RecordReader(tmp_path)
    assert numbers(reader) == [2]
    assert reader.damaged_lines == 1


def test_unknown_kinds_severities_and_fields_pass_through_untouched(tmp_path: Path) -> None:
    newer = foreign_line(kind="c99.new", severity="fatal", schema_version="9.0.0", extra={"deep": [1]})
    write(tmp_path, newer)
    (found,) = RecordReader(tmp_path).lines(RecordFilter(minimum_severity=Severity.ERROR))
    assert (found.envelope.kind, found.envelope.severity) == ("c99.new", "fatal")
    assert found.json == newer[9:-1]


def test_segments_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write(tmp_path, line(3), "record-1000000.jsonl")
    write(tmp_path, line(2), "record-999999.jsonl")
    write(tmp_path, line(1), "record-000002.jsonl")
    write(tmp_path, line(9), "notes.jsonl")
    assert [envelope.payload["number"] for envelope in read_record(tmp_path)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("matching", "expected"),
    [
        (RecordFilter(), [1, 2, 3, 4]),
        (RecordFilter(kinds=("c6.freshness.*",)), [2, 3]),
        (RecordFilter(kinds=("c6.write", "c11.*")), [1, 4]),
        (RecordFilter(kinds=("C6.WRITE",)), []),
        (RecordFilter(minimum_severity=Severity.WARNING), [2, 4]),
        (RecordFilter(minimum_severity=Severity.ERROR), [4]),
        (RecordFilter(since=START + timedelta(seconds=2)), [2, 3, 4]),
        (RecordFilter(until=START + timedelta(seconds=2)), [1, 2]),
    ],
)
def test_a_filter_keeps_what_it_says(tmp_path: Path, matching: RecordFilter, expected: list[int]) -> None:
    kinds = [
        EventKind.WRITE,
        EventKind.FRESHNESS_REJECTED,
        EventKind.FRESHNESS_DOWNGRADED,
        EventKind.UPLOAD_GIVEUP,
    ]
    write(tmp_path, b"".join(line(number, kind) for number, kind in enumerate(kinds, 1)))
    assert numbers(RecordReader(tmp_path), matching) == expected


@pytest.mark.parametrize("name", ["nowhere", "nowhere/record-000001.jsonl"])
def test_a_record_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreUnavailableError, match="nowhere") as refused:
        list(read_record(tmp_path / name))
    assert refused.value.remedy


class FollowedFolder:
    """Changes the folder at each pause of a follower, and stops it after the last change."""

    def __init__(self, folder: Path, changes: list[tuple[str, bytes]]) -> None:
        self._folder = folder
        self._changes = iter(changes)
        self.ended = False

    def pause(self) -> None:
        try:
            name, content = next(self._changes)
        except StopIteration:
            self.ended = True
        else:
            write(self._folder, content, name)


class PausingClock(ManualClock):
    def __init__(self, folder: FollowedFolder) -> None:
        super().__init__(START)
        self._folder = folder

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._folder.pause()


def follow(reader: RecordReader, folder: Path, changes: list[tuple[str, bytes]]) -> Iterator[int]:
    followed = FollowedFolder(folder, changes)
    found = reader.follow(clock=PausingClock(followed), stopped=lambda: followed.ended)
    return (event.envelope.payload["number"] for event in found)


def test_following_gives_old_and_new_events_once_each_over_all_segments(tmp_path: Path) -> None:
    write(tmp_path, line(1))
    changes = [(SEGMENT, line(2)), ("record-000002.jsonl", line(3)), (SEGMENT, line(4))]
    assert list(follow(RecordReader(tmp_path), tmp_path, changes)) == [1, 2, 3, 4]


def test_following_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    reader = RecordReader(tmp_path)
    changes = [(SEGMENT, line(1)[:50]), (SEGMENT, b""), (SEGMENT, line(1)[50:] + line(2))]
    assert list(follow(reader, tmp_path, changes)) == [1, 2]
    assert reader.damaged_lines == 0


def test_following_goes_on_when_the_oldest_segment_is_deleted(tmp_path: Path) -> None:
    write(tmp_path, line(1))
    found = follow(RecordReader(tmp_path), tmp_path, [("record-000002.jsonl", line(2))])
    assert next(found) == 1
    (tmp_path / SEGMENT).unlink()
    assert list(found) == [2]


@pytest.mark.parametrize("before", [1, 3])
def test_following_reads_the_file_of_a_record_begun_anew_from_its_first_line(
    tmp_path: Path, before: int
) -> None:
    write(tmp_path, b"".join(line(number) for number in range(before)))
    (tmp_path / "kept").hardlink_to(tmp_path / SEGMENT)  # as a writer that still has it open
    reader = RecordReader(tmp_path)
    found = follow(reader, tmp_path, [(SEGMENT, line(7) + line(8))])
    assert [next(found) for _ in range(before)] == list(range(before))
    (tmp_path / SEGMENT).unlink()
    assert list(found) == [7, 8]
    assert reader.damaged_lines == 0
