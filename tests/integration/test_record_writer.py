"""The flight recorder on a real disk: durable, bounded, and never in its caller's way."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.recorder import JsonLinesRecorder, RecordReader, read_record
from aerotile.domain.records import SCHEMA_VERSION, FlightEvent, Kind

START = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)


def event(number: int, **payload: Any) -> FlightEvent:
    return FlightEvent(Kind.WRITE, "committed", {"number": number, **payload})


def recorder_in(folder: Path, **settings: Any) -> JsonLinesRecorder:
    return JsonLinesRecorder(folder, **{"clock": SystemClock(), "retry_interval_s": 0.01, **settings})


def numbers_in(folder: Path) -> list[int]:
    return [e.payload["number"] for e in read_record(folder) if e.kind == "c6.write"]


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; the test's own time limit ends a wait in vain."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.005)


def points_to(descriptor: Path, file: Path) -> bool:
    """Whether an entry of /proc/self/fd, which may be gone by now, is the open file."""
    try:
        return descriptor.readlink() == file
    except FileNotFoundError:
        return False


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
    from aerotile.domain.records import FlightEvent, Kind

    folder = Path(sys.argv[1])

    def event(number):
        return FlightEvent(Kind.WRITE, "committed", {"number": number})

    def wait_until(condition):
        while not condition():
            threading.Event().wait(0.005)
"""


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
    wait_until(lambda: recorder.status().written == 1)
    assert numbers_in(tmp_path) == [1]
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


# --- cuts and restarts --------------------------------------------------------------------------------------


def test_a_process_that_is_killed_leaves_every_event_that_was_written(tmp_path: Path) -> None:
    killed = run_python(
        """
        recorder = JsonLinesRecorder(folder, clock=SystemClock())
        for number in range(1000):
            recorder.record(event(number))
        wait_until(lambda: recorder.status().written == 1000)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
    )
    assert killed.returncode == -signal.SIGKILL
    assert numbers_in(tmp_path) == list(range(1000))


def test_a_process_that_ends_without_close_leaves_every_event(tmp_path: Path) -> None:
    finished = run_python(
        """
        recorder = JsonLinesRecorder(folder, clock=SystemClock(), sync_interval_s=60)
        for number in range(1000):
            recorder.record(event(number))
        """,
        tmp_path,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert numbers_in(tmp_path) == list(range(1000))


def test_a_recorder_that_is_forgotten_brings_its_events_to_the_disk(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    for number in range(100):
        recorder.record(event(number))
    del recorder
    assert numbers_in(tmp_path) == list(range(100))


def test_a_forked_child_writes_nothing_twice_and_ends_cleanly(tmp_path: Path) -> None:
    finished = run_python(
        """
        recorder = JsonLinesRecorder(folder, clock=SystemClock())
        for number in range(500):
            recorder.record(event(number))
        child = os.fork()
        for number in range(500, 1000):
            recorder.record(event(number))
        if child == 0:
            recorder.close()
            sys.exit(0 if recorder.status().dropped == 500 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        tmp_path,
    )
    assert finished.stdout == "0\n", finished.stderr
    assert numbers_in(tmp_path) == list(range(1000))


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


# --- bounds -------------------------------------------------------------------------------------------------


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
    wait_until(lambda: other.status().written == 1)
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
    recorder.record(FlightEvent(Kind.WRITE, "committed", {"large": "x" * 2_000_000}))
    recorder.close()
    (envelope,) = read_record(tmp_path)
    assert envelope.payload["unencodable"].startswith("{'large': 'xxx")
    assert len(envelope.payload["unencodable"]) <= 1000


def test_a_full_queue_drops_and_the_record_says_how_many(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    folder.touch()
    recorder = recorder_in(folder, queue_size=10)
    for number in range(5000):
        recorder.record(event(number))
    dropped = recorder.status().dropped
    assert dropped > 3000
    wait_until(lambda: recorder.status().failing)
    folder.unlink()
    wait_until(lambda: not recorder.status().failing)
    recorder.close()
    noted = [e.payload["dropped"] for e in read_record(folder) if e.kind == "c0.recorder.dropped"]
    assert sum(noted) == dropped
    assert len(numbers_in(folder)) == 5000 - dropped


# --- disks that fail ----------------------------------------------------------------------------------------


def test_a_disk_that_fails_from_the_start_degrades_and_recovers(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    folder.touch()
    recorder = recorder_in(folder)
    recorder.record(event(1))
    wait_until(lambda: recorder.status().failing)
    assert recorder.status().last_error == "Not a directory"
    folder.unlink()
    wait_until(lambda: not recorder.status().failing)
    recorder.close()
    assert numbers_in(folder) == [1]


def test_what_a_disk_never_took_is_counted_at_close(tmp_path: Path) -> None:
    (tmp_path / "record").touch()
    recorder = recorder_in(tmp_path / "record")
    for number in range(7):
        recorder.record(event(number))
    recorder.close()
    assert recorder.status().dropped == 7
    assert recorder.status().written == 0


def test_a_write_that_a_full_disk_cuts_short_loses_and_doubles_nothing(tmp_path: Path) -> None:
    finished = run_python(
        """
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, -1))
        recorder = JsonLinesRecorder(folder, clock=SystemClock(), retry_interval_s=0.01)
        for number in range(200):
            recorder.record(event(number))
        wait_until(lambda: recorder.status().failing)
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        wait_until(lambda: recorder.status().written == 200)
        recorder.close()
        print(recorder.status().last_error)
        """,
        tmp_path,
    )
    assert finished.stdout == "File too large\n", finished.stderr
    reader = RecordReader(tmp_path)
    assert [line.envelope.payload["number"] for line in reader.lines()] == list(range(200))
    assert reader.damaged_lines == 1, "the fragment, on a line of its own"


def test_a_stuck_disk_stops_neither_recording_nor_closing(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, queue_size=1000, sync_interval_s=60)
    recorder.record(event(0))
    segment = tmp_path / "record-000001.jsonl"
    # A pipe that nobody reads takes the place of the open file: writing there blocks for real.
    far_end, pipe = os.pipe()
    wait_until(lambda: recorder.status().written == 1)
    (opened,) = [file for file in Path("/proc/self/fd").iterdir() if points_to(file, segment)]
    os.dup2(pipe, int(opened.name))
    os.close(pipe)
    for number in itertools.count(1):
        recorder.record(event(number, filler="x" * 1000))
        if recorder.status().dropped:
            break
    recorder.close(timeout_s=0.05)
    os.close(far_end)


def test_recording_again_is_logged_once_and_so_is_the_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "record"
    folder.touch()
    recorder = recorder_in(folder)
    recorder.record(event(1))
    wait_until(lambda: recorder.status().failures > 3)
    folder.unlink()
    wait_until(lambda: not recorder.status().failing)
    recorder.close()
    said = [message for message in caplog.messages if str(folder) in message]
    assert len(said) == 2
    assert "can't be written" in said[0]
    assert "is written again" in said[1]
