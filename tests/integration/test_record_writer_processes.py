"""The flight recorder's process is killed, ends or forks: every event that was written is there, once."""

from __future__ import annotations

import signal
import threading
from functools import partial
from pathlib import Path

from recorded_events import event, numbers_in, recorder_in, run_python
from waiting import until

from aerotile.adapters.recorder import JsonLinesRecorder
from aerotile.domain.flight_events import FlightEvent


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


def test_a_recorder_that_is_forgotten_on_its_own_thread_ends_that_thread(tmp_path: Path) -> None:
    def make(_: JsonLinesRecorder) -> FlightEvent:
        return event(1)

    others = set(threading.enumerate())
    recorder = recorder_in(tmp_path)
    (thread,) = (each for each in set(threading.enumerate()) - others if each.name == "aerotile-recorder")
    recorder.record(event(0))
    recorder.record_later(partial(make, recorder))
    recorder.record(event(2))
    del recorder  # the queue has the last reference
    until(lambda: not thread.is_alive())
    assert numbers_in(tmp_path) == [0, 1, 2]


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
