"""Tasks on a thread of their own."""

from __future__ import annotations

import threading

import pytest

from aerotile.adapters.background import BackgroundTask


def test_a_task_that_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    calls, again = [0], threading.Event()

    def fails_once() -> None:
        calls[0] += 1
        if calls[0] == 1:
            raise RuntimeError("a defect")
        again.set()

    task = BackgroundTask("the work", fails_once, interval_s=0.001)
    try:
        assert again.wait(60)
    finally:
        task.close()
    (failure,) = caplog.records
    assert (failure.levelname, failure.message) == ("ERROR", "the work failed; it is tried again")
