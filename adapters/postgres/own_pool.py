"""The driver's pool, for processes that fork and for threads that a signal interrupts."""

from __future__ import annotations

import _thread
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed
from psycopg_pool.pool import WaitingClient

from ..own_process import OwnProcess
from .address import Connection, Lender

_CLOSING_S = 6.0
"""How long `close` waits at most: the driver waits 5 s for its threads."""


class _Condition(_thread.RLock):  # type: ignore[misc] # final for typeshed alone
    """A `threading.Condition` for one wait and one notice, whose lock no interrupt leaves held.

    Entering and leaving it are compiled calls, between whose steps no signal's handler runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._notice = _thread.allocate_lock()
        self._notice.acquire()

    def wait(self, timeout: float) -> bool:
        """Release it, wait so many seconds for the notice, and take it again; whether the notice came."""
        try:
            self.release()
            return self._notice.acquire(timeout=timeout)
        finally:
            if not self._is_owned():  # type: ignore[attr-defined] # as `threading.Condition` asks
                self.acquire()

    def notify_all(self) -> None:
        """End the wait; the caller has entered."""
        self._notice.release()


class _Clients(deque[WaitingClient[Connection]]):
    """The driver's list of those who wait for a connection."""

    def append(self, client: WaitingClient[Connection]) -> None:
        client._cond = _Condition()  # type: ignore[assignment] # has all that is asked of it
        super().append(client)


class DriverPool(ConnectionPool[Connection], Lender):
    """A pool that a forked child collects without waiting for locks of threads that it does not have.

    An interrupt leaves none of its locks held. Once damaged, it may count a connection for ever that nobody
    has, or make no other one.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._process = OwnProcess()
        super().__init__(*args, **options)
        self._waiting = _Clients()

    def __del__(self) -> None:
        if self._process.is_current:
            super().__del__()

    def _start_workers(self) -> None:
        # The driver's queue has a `Condition`.
        self._tasks: SimpleQueue[Any] = SimpleQueue()  # type: ignore[assignment] # as much of it as is used
        super()._start_workers()


class OwnPool:
    """Lends the connections of a driver's pool, and replaces that pool once an interrupt has damaged it.

    A connection that a replaced pool lent is closed when it is given back; until then there may be more
    connections than a pool has at most. Any number of threads may use it.
    """

    def __init__(self, make: Callable[[], DriverPool]) -> None:
        """`make` returns a pool that is not open yet."""
        self._make = make
        self._replacing = threading.Lock()
        self._is_closed = False
        self.driver = make()
        """The pool in use."""
        self.driver.open(wait=False)

    def lend(self, timeout_s: float) -> Connection:
        """A connection, for `give_back`. Raises the driver's errors."""
        deadline = time.monotonic() + timeout_s
        while True:
            pool = self._undamaged()
            try:
                connection = pool.getconn(timeout=max(0.0, deadline - time.monotonic()))
                connection.lender = pool
                return connection
            except PoolClosed:
                if pool is self.driver:
                    raise
            except psycopg.Error:
                raise
            except BaseException as error:
                pool.is_damaged = True
                interrupt = _interrupt_behind(error)
                if interrupt is None:
                    raise
                raise interrupt from None

    def give_back(self, connection: Connection) -> None:
        """Return a lent connection to its pool, which replaces it when it is closed."""
        pool = connection.lender
        assert isinstance(pool, DriverPool)
        try:
            connection.lender = None
            pool.putconn(connection)
        except BaseException:
            pool.is_damaged = True
            raise

    def close(self) -> None:
        """Close every connection; a second call does nothing. An interrupt ends the wait for it only."""
        with self._replacing:
            self._is_closed = True
            pool = self.driver
        try:
            _beside(pool.close, _CLOSING_S)
        except RuntimeError:  # the interpreter is about to exit
            pool.close()

    def _undamaged(self) -> DriverPool:
        damaged = self.driver
        if damaged.is_damaged:
            with suppress(RuntimeError):  # no thread can be started: the next call tries again
                _beside(partial(self._replace, damaged), _CLOSING_S)
        return self.driver

    def _replace(self, damaged: DriverPool) -> None:
        with self._replacing, suppress(RuntimeError):
            if self.driver is damaged and not self._is_closed:
                new = self._make()
                new.open(wait=False)
                self.driver = new
                _beside(damaged.close, 0.0)


def _interrupt_behind(error: BaseException) -> BaseException | None:
    """What interrupted a `Condition` that then released a lock which it no longer held."""
    if not isinstance(error, RuntimeError):
        return None
    if error.__context__ is not None:
        return error.__context__
    for frame, _ in traceback.walk_tb(error.__traceback__):
        waiting = frame.f_locals.get("self")
        if isinstance(waiting, WaitingClient):  # it keeps what interrupts it, to raise it behind the lock
            return waiting.error
    return None


def _beside(work: Callable[[], None], wait_s: float) -> None:
    """Do `work` on another thread, where no signal's handler runs, and wait for it so long at most.

    A pool that is half open is never closed, and a damaged one may wait for ever. Raises `RuntimeError` where
    no thread can be started.
    """
    under_way = threading.Lock()
    under_way.acquire()

    def run() -> None:
        try:
            work()
        finally:
            under_way.release()

    # `Thread.start` enters an `Event`, whose lock an interrupt may leave held.
    _thread.start_new_thread(run, ())
    under_way.acquire(timeout=wait_s)
