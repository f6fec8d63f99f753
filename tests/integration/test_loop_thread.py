"""An event loop in a thread of its own ends with no task left."""

from __future__ import annotations

import asyncio
import threading

from aerotile.adapters.loop_thread import LoopThread


async def endless() -> None:
    await asyncio.Event().wait()


def test_a_coroutine_runs_on_the_thread_and_its_result_comes_back() -> None:
    async def where() -> str:
        return threading.current_thread().name

    loop = LoopThread("somewhere")
    assert loop.submit(where()).result(timeout=60) == "somewhere"
    loop.close()
    assert "somewhere" not in {thread.name for thread in threading.enumerate()}


def test_closing_cancels_what_runs_and_then_runs_the_last_coroutine() -> None:
    order: list[str] = []

    async def work() -> None:
        try:
            await endless()
        finally:
            order.append("cancelled")

    async def last() -> None:
        order.append("last")

    loop = LoopThread("loop")
    running = loop.submit(work())
    loop.submit(asyncio.sleep(0)).result(timeout=60)
    loop.close(last())
    assert running.cancelled()
    assert order == ["cancelled", "last"]


def test_what_was_cancelled_ends_and_the_next_coroutine_runs() -> None:
    loop = LoopThread("loop")
    running = loop.submit(endless())
    loop.submit(asyncio.sleep(0)).result(timeout=60)
    loop.cancel()
    assert running.cancelled()
    assert loop.submit(asyncio.sleep(0, "next")).result(timeout=60) == "next"
    loop.close()


def test_closing_leaves_no_task_that_was_started_by_one_that_it_cancels() -> None:
    started: list[asyncio.Task[None]] = []

    async def work() -> None:
        try:
            await endless()
        finally:
            loop = asyncio.get_running_loop()
            # As a new connection does: a callback that starts a task.
            loop.call_soon(lambda: started.append(loop.create_task(endless())))

    thread = LoopThread("loop")
    thread.submit(work())
    thread.submit(asyncio.sleep(0)).result(timeout=60)
    thread.close()
    assert [task.cancelled() for task in started] == [True]
