"""Signals' handlers that raise in the middle of a call."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from waiting import until

import aerotile

_PACKAGE = Path(aerotile.__file__).parent
OURS = (f"{_PACKAGE}/adapters/", f"{_PACKAGE}/domain/")


def interrupt_at(step: int, call: Callable[[], object], *, within: tuple[str, ...] = OURS) -> bool:
    """Make the call, with a `KeyboardInterrupt` at its step of that number; whether it has so many.

    A step is the entry of a function, or the return of a compiled one, in files whose paths begin so.
    A generator's closing looks like its entry, and is none.
    """
    steps = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal steps
        is_step = event == "c_return" or (
            event == "call" and not frame.f_code.co_flags & inspect.CO_GENERATOR
        )
        if is_step and frame.f_code.co_filename.startswith(within):
            steps += 1
            if steps == step:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    return steps >= step


@contextmanager
def interrupted_once(it_is_so: Callable[[], bool]) -> Iterator[None]:
    """A signal raises `KeyboardInterrupt` in this thread, within the block, once it is so."""
    main = threading.get_ident()

    def interrupt() -> None:
        until(it_is_so)
        signal.pthread_kill(main, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(interrupt)
            yield
    finally:
        signal.signal(signal.SIGALRM, before)
