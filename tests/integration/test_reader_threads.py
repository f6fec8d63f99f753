"""Threads that wait for the disk in place of their reader: deadlines, hangs, recovery, forks, exit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
from interrupts import interrupted_once
from waiting import until

from aerotile.adapters.reader_threads import ReaderThreads
from aerotile.domain.errors import ReadDeadlineError
from aerotile.domain.values.tiles import TileId, TileSource

TILE = TileId(3, 1, 5, TileSource.IMPORTED)
LONG_S = 60.0
SOON_S = 0.05


@attrs.define
class Disk:
    """A disk that answers only when it is let; tests/faults/test_stalled_disk.py has a real one."""

    answers: threading.Event = attrs.field(factory=threading.Event)
    asked: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(0))

    def read(self) -> bytes:
        self.asked.release()
        assert self.answers.wait(LONG_S)
        return b"pixels"


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.answers.set()


@pytest.fixture
def threads() -> Iterator[ReaderThreads]:
    threads = ReaderThreads(2)
    yield threads
    threads.close()


def own_threads() -> int:
    return sum(thread.name == "aerotile-reader" for thread in threading.enumerate())


def hang(threads: ReaderThreads, disk: Disk, read: Callable[[], object] | None = None) -> None:
    """Leave a read behind; on a busy machine a reader may give up before a thread has begun."""
    before = threads.hanging_threads
    while threads.hanging_threads == before:
        with pytest.raises(ReadDeadlineError):
            threads.run(read or disk.read, TILE, SOON_S)
    assert disk.asked.acquire(timeout=LONG_S)


def hang_all(threads: ReaderThreads, disk: Disk) -> None:
    hang(threads, disk)
    hang(threads, disk)


def test_readers_that_are_interrupted_leave_their_threads_counted_as_hanging(
    threads: ReaderThreads, disk: Disk
) -> None:
    for count in (1, 2):
        with interrupted_once(lambda: disk.asked.acquire(blocking=False)), pytest.raises(KeyboardInterrupt):
            threads.run(disk.read, TILE, LONG_S)
        assert threads.hanging_threads == count
    with pytest.raises(ReadDeadlineError):
        threads.run(disk.read, TILE, LONG_S)  # immediately
    disk.answers.set()
    until(lambda: threads.hanging_threads == 0)
    assert threads.run(disk.read, TILE, LONG_S) == b"pixels"


def test_what_is_read_in_time_is_returned(threads: ReaderThreads) -> None:
    assert threads.run(lambda: b"pixels", TILE, LONG_S) == b"pixels"


def test_what_a_read_raises_is_raised(threads: ReaderThreads) -> None:
    def fail() -> None:
        raise FileNotFoundError(TILE)

    with pytest.raises(FileNotFoundError):
        threads.run(fail, TILE, LONG_S)
    assert threads.run(lambda: 1, TILE, LONG_S) == 1


def test_a_read_that_takes_too_long_is_an_explicit_error(threads: ReaderThreads, disk: Disk) -> None:
    with pytest.raises(ReadDeadlineError, match=r"tile imported/3/1/5 within 0\.05 s") as caught:
        threads.run(disk.read, TILE, SOON_S)
    assert (caught.value.tile_id, caught.value.deadline_s, caught.value.stalled) == (TILE, SOON_S, False)


def test_one_thread_that_hangs_does_not_keep_the_other_from_reading(
    threads: ReaderThreads, disk: Disk
) -> None:
    hang(threads, disk)
    for _ in range(10):
        assert threads.run(lambda: 1, TILE, LONG_S) == 1


def test_while_all_threads_hang_reads_fail_at_once_and_no_thread_is_added(
    threads: ReaderThreads, disk: Disk
) -> None:
    before = own_threads()
    hang_all(threads, disk)
    for _ in range(10):
        with pytest.raises(ReadDeadlineError) as caught:
            threads.run(disk.read, TILE, LONG_S)
        assert caught.value.stalled
    assert own_threads() - before <= 2
    assert not disk.asked.acquire(blocking=False)


def test_when_the_disk_answers_again_reads_go_on_without_help(threads: ReaderThreads, disk: Disk) -> None:
    for _ in range(5):
        disk.answers.clear()
        hang_all(threads, disk)
        disk.answers.set()

        def recovered() -> bool:
            try:
                return threads.run(disk.read, TILE, LONG_S) == b"pixels"
            except ReadDeadlineError:
                return False

        until(recovered)
        with ThreadPoolExecutor(2) as readers:
            assert list(readers.map(lambda _: threads.run(disk.read, TILE, LONG_S), range(20)))
        until(lambda: threads.hanging_threads == 0)


def test_more_readers_than_threads_wait_for_their_turn(threads: ReaderThreads, disk: Disk) -> None:
    with ThreadPoolExecutor(10) as readers:
        reads = [readers.submit(threads.run, disk.read, TILE, LONG_S) for _ in range(10)]
        disk.answers.set()
        assert [read.result() for read in reads] == [b"pixels"] * 10


def test_a_reader_that_gave_up_in_the_queue_is_not_served_any_more(
    threads: ReaderThreads, disk: Disk
) -> None:
    served: list[int] = []
    with ThreadPoolExecutor(2) as readers:
        reads = [readers.submit(threads.run, disk.read, TILE, LONG_S) for _ in range(2)]
        for _ in reads:
            assert disk.asked.acquire(timeout=LONG_S)
        with pytest.raises(ReadDeadlineError) as caught:
            threads.run(lambda: served.append(1), TILE, SOON_S)
        assert not caught.value.stalled
        disk.answers.set()
        assert [read.result() for read in reads] == [b"pixels"] * 2
    threads.run(lambda: served.append(2), TILE, LONG_S)
    assert served == [2]


def test_what_comes_too_late_is_thrown_away(threads: ReaderThreads, disk: Disk) -> None:
    late: list[weakref.ref[threading.Event]] = []

    def read() -> threading.Event:
        disk.read()
        result = threading.Event()
        late.append(weakref.ref(result))
        return result

    hang(threads, disk, read)
    disk.answers.set()
    until(lambda: bool(late) and late[0]() is None)


def test_a_read_without_any_patience_still_starts_the_disk(threads: ReaderThreads, disk: Disk) -> None:
    with pytest.raises(ReadDeadlineError):
        threads.run(disk.read, TILE, 0)
    disk.answers.set()


def test_closing_ends_the_threads_and_waits_for_none_of_them(disk: Disk) -> None:
    until(lambda: own_threads() == 0)
    threads = ReaderThreads(2)
    hang(threads, disk)
    threads.run(lambda: 1, TILE, LONG_S)
    threads.close()
    threads.close()
    until(lambda: own_threads() == 1)
    disk.answers.set()
    until(lambda: own_threads() == 0)


# Run by an interpreter of its own.
PROLOGUE = """
import os, sys, threading
from aerotile.adapters.reader_threads import ReaderThreads
from aerotile.domain.errors import ReadDeadlineError
from aerotile.domain.values.tiles import TileId, TileSource
tile = TileId(3, 1, 5, TileSource.IMPORTED)
threads = ReaderThreads(2)
for _ in range(2):
    try:
        threads.run(threading.Event().wait, tile, 0.01)
    except ReadDeadlineError:
        pass
"""


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROLOGUE + script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ),
    )


def test_hanging_threads_do_not_keep_the_process_from_exiting() -> None:
    ended = run_python("print('done')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_a_forked_child_closes_them_though_its_parent_was_amid_a_read() -> None:
    ended = run_python(
        """
with threads._changed:  # as another thread of the parent may hold it
    child = os.fork()
    if child == 0:
        import signal
        signal.alarm(60)
        threads.close()
        os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0\n", "")


def test_a_thread_that_can_not_be_started_leaves_room_for_the_next(
    threads: ReaderThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="new thread"):
                threads.run(lambda: b"pixels", TILE, LONG_S)
    assert threads.run(lambda: b"pixels", TILE, LONG_S) == b"pixels"


def test_a_forked_child_has_threads_of_its_own() -> None:
    ended = run_python(
        """
child = os.fork()
if child == 0:
    os._exit(0 if threads.run(lambda: 7, tile, 60.0) == 7 else 1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0\n", "")
