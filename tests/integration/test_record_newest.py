"""The newest events of a record, read from its newest file backwards."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.recorder.line_format import encode_line
from aerotile.adapters.recorder.newest import newest_events
from aerotile.adapters.recorder.reader import RecordFilter
from aerotile.domain.flight_events import RecordEnvelope
from aerotile.domain.make_events import recorder_dropped_event

BEGIN = datetime(2026, 5, 1, tzinfo=timezone.utc)
FILES, IN_A_FILE = 3, 4


def line(number: int) -> bytes:
    time = BEGIN + timedelta(seconds=number)
    return encode_line(
        RecordEnvelope.of(recorder_dropped_event("queue_full", number), wall_time=time, monotonic_ns=number)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in range(FILES):
        lines = [line(file * IN_A_FILE + number) for number in range(IN_A_FILE)]
        (tmp_path / f"record-{file + 1:06}.jsonl").write_bytes(b"".join(lines))
    return tmp_path


def newest(folder: Path, limit: int, **matching: datetime) -> tuple[list[int], bool, int]:
    found = newest_events(folder, RecordFilter(**matching), limit, ManualClock(BEGIN))
    return [event.payload["dropped"] for event in found.events], found.is_complete, found.damaged_lines


@pytest.mark.parametrize("limit", range(1, FILES * IN_A_FILE + 2))
def test_the_newest_come_oldest_first_and_it_says_whether_there_are_older_ones(
    folder: Path, limit: int
) -> None:
    every = list(range(FILES * IN_A_FILE))
    assert newest(folder, limit) == (every[-limit:], limit >= len(every), 0)


def test_a_period_ends_with_its_last_event(folder: Path) -> None:
    since, until = BEGIN + timedelta(seconds=2), BEGIN + timedelta(seconds=9)
    assert newest(folder, 100, since=since, until=until) == (list(range(2, 10)), True, 0)
    assert newest(folder, 3, since=since, until=until) == ([7, 8, 9], False, 0)


def test_files_that_are_older_than_what_is_wanted_are_not_read(folder: Path) -> None:
    (folder / "record-000001.jsonl").write_bytes(b"damaged\n")
    assert newest(folder, IN_A_FILE) == ([8, 9, 10, 11], False, 0)
    assert newest(folder, 100) == (list(range(4, 12)), True, 1)


def test_a_line_that_a_writer_goes_on_with_is_neither_shown_nor_damaged(folder: Path) -> None:
    with (folder / "record-000003.jsonl").open("ab") as file:
        file.write(line(12)[:-1])
    assert newest(folder, 1) == ([11], False, 0)


def test_a_folder_that_is_missing_holds_none(tmp_path: Path) -> None:
    assert newest(tmp_path / "nothing", 5) == ([], True, 0)
