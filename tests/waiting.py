"""Waiting for what must come to pass."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_S = 120.0


def until(condition: Callable[[], bool], otherwise: str = "it did not come to pass") -> None:
    """Wait until it is so; that it never is fails the test that waits, with the reason given."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)
