"""A signal's handler that raises, at each point of a call where the interpreter runs such handlers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import aerotile

_PACKAGE = Path(aerotile.__file__).parent
OURS = (f"{_PACKAGE}/adapters/", f"{_PACKAGE}/domain/")


def interrupt_at(step: int, call: Callable[[], object], *, within: tuple[str, ...] = OURS) -> bool:
    """Make the call, with a `KeyboardInterrupt` at its step of that number; whether it has so many.

    A step is the entry of a function, or the return of a compiled one, in files whose paths begin so.
    """
    steps = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal steps
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(within):
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
