"""The threads of batches, beside signals whose handlers raise."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable

import pytest
from waiting import until

from aerotile.adapters.filesystem import batch_threads
from aerotile.adapters.filesystem.batch_threads import BatchThreads, Task
from aerotile.adapters.filesystem.folders import OpenFolder


def test_an_interrupt_while_the_threads_start_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    start, before = _thread.start_new_thread, _thread._count()

    def start_and_interrupt(function: Callable[..., object], arguments: tuple[object, ...]) -> int:
        start(function, arguments)
        raise KeyboardInterrupt

    threads, task = BatchThreads(2), Task(lambda: 1)
    with monkeypatch.context() as patched:
        patched.setattr(batch_threads, "start_new_thread", start_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            threads.begin([task])
    task.stop()
    again = [Task(lambda: 2), Task(lambda: 3)]
    threads.begin(again)
    assert [task.result() for task in again] == [2, 3]
    assert _thread._count() > before
    del threads
    until(lambda: _thread._count() <= before)


def test_a_task_that_was_stopped_before_it_was_begun_is_not_done() -> None:
    done: list[int] = []
    begun, may_end = threading.Lock(), threading.Lock()
    begun.acquire()
    may_end.acquire()

    def hold() -> None:
        begun.release()
        may_end.acquire()
        done.append(1)

    held, waiting, last = Task(hold), Task(lambda: done.append(2)), Task(lambda: done.append(3))
    BatchThreads(1).begin([held, waiting, last])
    with begun:
        waiting.stop()
        may_end.release()
    last.wait()
    held.stop()
    assert done == [1, 3]


def test_the_error_of_a_task_is_raised_by_its_result() -> None:
    task = Task(lambda: 1 // 0)
    threads = BatchThreads(1)
    threads.begin([task])
    with pytest.raises(ZeroDivisionError):
        task.result()


def test_where_no_thread_can_be_started_no_task_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise RuntimeError("can't start new thread")

    threads, done = BatchThreads(2), list[int]()
    with monkeypatch.context() as patched:
        patched.setattr(batch_threads, "start_new_thread", refuse)
        with pytest.raises(RuntimeError):
            threads.begin([Task(lambda: done.append(1))])
    last = Task(lambda: done.append(2))
    threads.begin([last])
    last.wait()
    assert done == [2]


def test_a_folder_whose_construction_was_interrupted_is_collected_without_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)
    folder = OpenFolder.__new__(OpenFolder)
    del folder
    assert raised == []
