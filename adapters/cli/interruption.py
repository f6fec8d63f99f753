"""Ctrl-C that ends a long run in order: once between two steps, twice at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

import click

from ..clocks import SystemClock

_LOOK_S = 0.1
"""How long a sleep goes on before it notices."""


class Interruption:
    """Whether somebody has asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def is_asked(self) -> bool:
        """For whoever wants a function."""
        return self.asked


@contextmanager
def interruption(notice: str) -> Iterator[Interruption]:
    """Take the first Ctrl-C as a wish, and say `notice`; the second raises `KeyboardInterrupt`."""
    wish = Interruption()

    def handle(signal_number: int, frame: FrameType | None) -> None:
        if wish.asked:
            raise KeyboardInterrupt
        wish.asked = True
        click.echo(notice, err=True)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGINT, before)


class InterruptibleClock:
    """The machine's clock, whose sleep ends early when `stopped` says so."""

    def __init__(self, stopped: Callable[[], bool], on_sleep: Callable[[float], None]) -> None:
        """`on_sleep` is told how long a sleep will be."""
        self._clock = SystemClock()
        self._stopped = stopped
        self._on_sleep = on_sleep

    def now(self) -> datetime:
        """See `Clock`."""
        return self._clock.now()

    def monotonic(self) -> float:
        """See `Clock`."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock`; shorter when `stopped`."""
        self._on_sleep(seconds)
        until = time.monotonic() + seconds
        while not self._stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))
