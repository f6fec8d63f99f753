"""Threads for the slices of batches."""

from __future__ import annotations

import threading
import weakref
from _thread import start_new_thread
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

from ..work_elsewhere import WorkElsewhere

T = TypeVar("T")


class Task(WorkElsewhere[T]):
    """Work that a thread does, and its result. Its waits end where a signal's handler raises."""

    # Only locks: an interrupt can't leave one held, as it can that within a `Condition` or an `Event`.

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(work)
        self._begun = threading.Lock()
        """Held for ever by who does the work, or keeps it from being done."""
        self._under_way = threading.Lock()
        """Held until the work has ended."""
        self._under_way.acquire()

    def do(self) -> None:
        """Do the work, unless it was stopped."""
        if self._begun.acquire(blocking=False):
            super().do()
            self._under_way.release()

    def wait(self) -> None:
        """Wait until the work has ended."""
        with self._under_way:
            pass

    def result(self) -> T:
        """Wait for the result; raises the error of the work."""
        self.wait()
        return super().result()

    def stop(self) -> None:
        """Keep the work from being begun; where it has, wait until it has ended."""
        if self._begun.acquire(blocking=False):
            self._under_way.release()
        else:
            self.wait()


class BatchThreads:
    """Does tasks in the order in which they are given. Its threads end with this object.

    They start with the first task. The interpreter exits without them.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._starting = threading.Lock()
        self._tasks: SimpleQueue[Task[Any] | None] = SimpleQueue()
        weakref.finalize(self, self._tasks.put, None).atexit = False

    def begin(self, tasks: Sequence[Task[Any]]) -> None:
        """Have `tasks` done. Raises `RuntimeError`, and none is done, where no thread can be started.

        After an interrupt the caller stops each of them.
        """
        if self._started < self._count:
            self._start()
        for task in tasks:
            self._tasks.put(task)

    def _start(self) -> None:
        with self._starting:
            while self._started < self._count:
                try:
                    # `Thread.start` enters an `Event`, whose lock an interrupt may leave held.
                    start_new_thread(_work, (self._tasks,))
                except RuntimeError:
                    if not self._started:
                        raise
                    return  # fewer do
                self._started += 1


def _work(tasks: SimpleQueue[Task[Any] | None]) -> None:
    while (task := tasks.get()) is not None:
        task.do()
        del task  # its result is freed with the batch, not with the next task
    tasks.put(None)  # for the next thread
