"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from .own_process import OwnProcess

T = TypeVar("T")


class LoopThread:
    """Runs coroutines while its caller does something else. Any number of threads may submit.

    A forked child has no such thread. `submit` and `result` raise `ForkedProcessError` there; `close` does
    nothing.
    """

    def __init__(self, name: str) -> None:
        self._process = OwnProcess()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine; the future has its result, for `result`."""
        self._process.check()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def result(self, begun: Future[T]) -> T:
        """Wait for the result of what `submit` began; raises its error."""
        self._process.check()
        return begun.result()

    def cancel(self) -> None:
        """Cancel every task; `result` raises `CancelledError` for it. Others may begin."""
        self.submit(_cancel_others()).result()

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel every task, run `last`, and end the thread. A second call is an error."""
        if not self._process.is_current:
            if last is not None:
                last.close()
            return
        self.submit(_cancel_others()).result()
        if last is not None:
            self.submit(last).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    """Cancel every other task, also tasks that a callback starts meanwhile, such as a new connection's."""
    while True:
        await asyncio.sleep(0)  # lets callbacks run that are due
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if not others:
            return
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
