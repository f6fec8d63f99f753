"""Work against the database that must not run on the thread that causes it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from ..domain.errors import StoreUnavailableError
from .own_process import OwnProcess

_log = logging.getLogger("aerotile.background")


class BackgroundTask:
    """Runs a task every few seconds, and soon after `wake`, on a thread of its own.

    A task that fails, above all while the database is unavailable, is logged and tried again after the
    interval. In a forked child, which has no such thread, `wake` and `close` do nothing.
    """

    def __init__(self, name: str, task: Callable[[], object], *, interval_s: float) -> None:
        self._name = name
        self._task = task
        self._interval_s = interval_s
        # An interrupt of `wake` leaves no lock of this queue held, as it can that of an `Event`.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._closing = False
        self._process = OwnProcess()
        self._thread = threading.Thread(target=self._run, name=f"aerotile-{name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Run the task soon; does not wait for it."""
        if self._process.is_current and self._wakes.empty():
            self._wakes.put(None)

    def do_now(self) -> None:
        """Run the task on the calling thread."""
        try:
            self._task()
        except StoreUnavailableError as error:
            _log.info("%s waits until the database is back: %s", self._name, error.explained)

    def close(self) -> None:
        """Stop the thread, then run the task once more."""
        if not self._process.is_current:
            return
        self._closing = True
        self._wakes.put(None)
        self._thread.join()
        self.do_now()

    def _run(self) -> None:
        while not self._closing:
            with suppress(Empty):
                self._wakes.get(timeout=self._interval_s)
                while True:
                    self._wakes.get_nowait()
            if not self._closing:
                try:
                    self.do_now()
                except Exception:  # noqa: BLE001 - a thread that ended would leave its work undone in silence
                    _log.exception("%s failed; it is tried again", self._name)
