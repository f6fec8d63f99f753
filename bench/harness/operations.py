"""An operation that is timed, in one of two ways.

- `Calls`: one Python call at a time, timed by pytest-benchmark (pedantic, one iteration per round);
- `Samples`: the operation takes its own times, as a compiled floor or a group of threads must.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]
Facts = Mapping[str, float]


class Unavailable(Exception):  # noqa: N818 # it is an answer, not a failure
    """A subject can't run on this machine; the message says why."""


def _nothing() -> tuple[Any, ...]:
    return ()


def _no_facts() -> Facts:
    return {}


@attrs.frozen(kw_only=True)
class Calls:
    """An operation that is timed call by call."""

    call: Callable[..., object]
    """What is timed."""
    arguments: Callable[[], tuple[Any, ...]] = _nothing
    """Makes the arguments of the next call, outside the timing."""
    afterwards: Callable[..., object] | None = None
    """Tidies up after a call, with the same arguments, outside the timing."""
    facts: Callable[[], Facts] = _no_facts
    """Figures beside the times (recall, bytes), asked once after the last block."""


@attrs.frozen(kw_only=True)
class Samples:
    """An operation that times itself."""

    sample: Callable[[int], Seconds]
    """Run so many operations and return the seconds of each."""
    facts: Callable[[], Facts] = _no_facts


Operation = Calls | Samples
