"""The flight recorder over disks that fail, are full or stuck: it never is in its caller's way."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import pytest
from interrupts import interrupt_at
from recorded_events import event, numbers_in, recorder_in, run_python
from waiting import until

from aerotile.adapters.recorder import RecordReader
from aerotile.adapters.recorder.journal import Journal


def points_to(descriptor: Path, file: Path) -> bool:
    """Whether an entry of /proc/self/fd, which may be gone by now, is the open file."""
    try:
        return descriptor.readlink() == file
    except FileNotFoundError:
        return False


def test_a_disk_that_fails_from_the_start_degrades_and_recovers(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    folder.touch()
    recorder = recorder_in(folder)
    recorder.record(event(1))
    until(lambda: recorder.status().failing)
    assert recorder.status().last_error == "Not a directory"
    folder.unlink()
    until(lambda: not recorder.status().failing)
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


def test_an_error_that_repeats_ends_the_recorder_at_its_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Journal) -> None:
        raise MemoryError

    monkeypatch.setattr(Journal, "write", fail)
    before = set(threading.enumerate())
    recorder = recorder_in(tmp_path)
    for number in range(7):
        recorder.record(event(number))
    recorder.close(timeout_s=60)
    assert recorder.status().dropped == 7
    assert "aerotile-recorder" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_a_close_that_is_interrupted_at_any_step_is_finished_by_another(tmp_path: Path) -> None:
    for step in itertools.count(1):
        before = set(threading.enumerate())
        recorder = recorder_in(tmp_path / str(step))
        (thread,) = (each for each in set(threading.enumerate()) - before if each.name == "aerotile-recorder")
        recorder.record(event(step))
        is_interrupted = interrupt_at(step, recorder.close)
        recorder.close()
        assert not thread.is_alive(), step
        assert numbers_in(tmp_path / str(step)) == [step]
        if not is_interrupted:
            break
    assert step > 1


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
    until(lambda: recorder.status().written == 1)
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
    until(lambda: recorder.status().failures > 3)
    folder.unlink()
    until(lambda: not recorder.status().failing)
    recorder.close()
    said = [message for message in caplog.messages if str(folder) in message]
    assert len(said) == 2
    assert "can't be written" in said[0]
    assert "is written again" in said[1]
