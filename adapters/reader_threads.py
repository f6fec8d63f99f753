"""Threads that wait for a slow disk in place of a reader with a deadline."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from ..domain.errors import ReadDeadlineError
from ..domain.values.tiles import TileId
from .work_elsewhere import WorkElsewhere

_MAX_WAITING = 256
"""Reads that may wait for a thread; a further read fails immediately."""

T = TypeVar("T")


class ReaderThreads:
    """A few threads for reads that may wait for the disk; started when first needed.

    A thread that hangs in the kernel can't be stopped, so a reader whose deadline has passed abandons it.
    While all threads hang, reads fail immediately. When the disk answers again, each thread discards its
    result and serves the next reader.

    They are daemon threads: the interpreter exits without them. A thread that waits for a file's content can
    be killed immediately; a thread that waits for a folder or an inode only when the disk answers.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        # The readers enter locks only: an interrupt may leave a `Condition` or an `Event` held for ever.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[_Read[Any]] = deque()
        self._threads = 0
        self._idle = 0
        self._abandoned = 0
        self.late_reads = 0
        """Reads that the disk did not answer in time."""
        self._closed = False

    def run(self, work: Callable[[], T], tile_id: TileId, timeout_s: float) -> T:
        """Run `work` on one of the threads; return its result or raise its error.

        Raises `ReadDeadlineError` after `timeout_s` seconds, and immediately while every thread hangs.
        """
        self._notice_fork()
        read = _Read(work)
        with self._lock:
            if self._abandoned == self._count or len(self._waiting) >= _MAX_WAITING:
                self.late_reads += 1
                raise ReadDeadlineError(tile_id, timeout_s, stalled=True)
            self._waiting.append(read)
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._threads < self._count:
                self._start_thread(read)
        is_in_time = False
        try:
            is_in_time = read.under_way.acquire(timeout=timeout_s)
        finally:
            is_late = not is_in_time and self._abandon(read)
        if is_late:
            with self._lock:
                self.late_reads += 1
            raise ReadDeadlineError(tile_id, timeout_s)
        return read.result()

    def _abandon(self, read: _Read[Any]) -> bool:
        """Wait for a read no longer; returns whether it has not ended."""
        with self._lock:
            if read.has_ended:
                return False
            read.is_abandoned = True
            if read in self._waiting:
                self._waiting.remove(read)
            else:
                self._abandoned += 1
            return True

    @property
    def hanging_threads(self) -> int:
        """Threads that wait for a disk whose readers have given up."""
        return self._abandoned

    def close(self) -> None:
        """End each thread after its current read; does not wait for the threads."""
        self._notice_fork()
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    def _notice_fork(self) -> None:
        """Begin anew in a forked child: it has none of its parent's threads, and a lock may be held there."""
        if self._pid != os.getpid():
            self._reset()

    def _start_thread(self, read: _Read[Any]) -> None:
        """Start one more thread. Raises `RuntimeError`, and `read` waits no more, where there is none."""
        self._threads += 1
        try:
            threading.Thread(target=self._work, name="aerotile-reader", daemon=True).start()
        except BaseException:
            self._threads -= 1
            self._waiting.remove(read)
            raise

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
                while not self._waiting and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if not self._waiting:
                    self._threads -= 1
                    return
                read = self._waiting.popleft()
            read.do()
            with self._lock:
                read.has_ended = True
                if read.is_abandoned:
                    self._abandoned -= 1
            read.under_way.release()
            del read  # an abandoned result is freed now, not with the next read


class _Read(WorkElsewhere[T]):
    """A read and its outcome."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(work)
        self.under_way = threading.Lock()
        """Held until the read has ended, then by its reader."""
        self.under_way.acquire()
        self.has_ended = False
        self.is_abandoned = False
