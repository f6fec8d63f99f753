"""P-18: one durable write beside threads of pure Python that never pause.

A thread that gives the interpreter's lock up gets it back after a switch interval for each thread that
computes. How often a write must take the lock is therefore the slope of its time over the switch interval.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import count
from time import perf_counter_ns

import numpy as np
from harness.dataset import metadata_of, tile_id, tile_pixels
from harness.operations import Facts, Operation, Samples, Seconds
from harness.statistics import percentile
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.threads import computing, lock_takings
from harness.workshop import Workshop

from .writes import WRITTEN_COLUMNS, Write, writes_of_mapproxy, writes_of_ours, writes_of_the_floor

_PIXELS = 64
"""Different contents; each tile has a place of its own."""
_STORE = "busy writes"
_COUNTED = 20
"""Writes for each switch interval."""
_CROWDS = (0, 1, 3, 5)
_WAIT_US = 1_800
"""What one write takes alone, about, where nothing else works on the machine."""


@contextmanager
def _pixels(workshop: Workshop) -> Iterator[list[bytes]]:
    yield [tile_pixels(number) for number in range(_PIXELS)]


def _beside_one(
    opener: Callable[[Workshop], AbstractContextManager[Write]], *, measured: bool = False
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """A subject whose writes are timed beside one computing thread; `measured`: the other figures too."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        pixels = workshop.shared(_pixels)
        numbers = count()

        with opener(workshop) as write:

            def sample(rounds: int) -> Seconds:
                taken = []
                for number, _ in zip(numbers, range(rounds), strict=False):
                    content = pixels[number % _PIXELS]
                    metadata = metadata_of(tile_id(number, WRITTEN_COLUMNS), content)
                    before = perf_counter_ns()
                    write(content, metadata)
                    taken.append(perf_counter_ns() - before)
                return np.array(taken, np.float64) / 1e9

            def beside(rounds: int, threads: int = 1) -> Seconds:
                with computing(threads):
                    return sample(rounds)

            rounds = _QUICK.rounds if workshop.sizes.quick else _FULL.rounds
            facts = partial(_facts, beside, rounds) if measured else dict
            yield Samples(sample=beside, facts=facts)

    return opened


def _facts(beside: Callable[[int, int], Seconds], rounds: int) -> Facts:
    """The takings of the lock, and the milliseconds of a write beside each crowd."""
    facts = {"lock_takings": lock_takings(lambda: beside(_COUNTED, 1))}
    medians = {}
    for threads in _CROWDS:
        taken = np.sort(beside(rounds, threads))
        medians[threads] = percentile(taken, 50)
        facts[f"beside_{threads}_p50_ms"] = medians[threads] * 1e3
        facts[f"beside_{threads}_p99_ms"] = percentile(taken, 99) * 1e3
    most = max(_CROWDS)
    facts[f"turns_beside_{most}"] = (medians[most] - medians[0]) / (most * sys.getswitchinterval())
    return facts


@contextmanager
def _waits(workshop: Workshop) -> Iterator[Write]:
    """One wait as long as a write, and one taking of the lock behind it."""
    usleep = ctypes.CDLL(None).usleep
    yield lambda pixels, metadata: usleep(_WAIT_US)


_FULL = Effort(blocks=5, rounds=100)
_QUICK = Effort(blocks=3, rounds=30)
_SLOW = Effort(blocks=5, rounds=25)

BESIDE_PYTHON = MeasuredPath(
    id="P-18",
    subjects=(
        Subject(
            name="Aerotile",
            role=Role.OURS,
            open=_beside_one(partial(writes_of_ours, name=_STORE), measured=True),
        ),
        Subject(
            name="one wait",
            role=Role.FLOOR,
            open=_beside_one(_waits),
            note=f"usleep({_WAIT_US}) without the lock, which is then taken once; nothing is written",
        ),
        Subject(
            name="sha256 + C file + INSERT",
            role=Role.REFERENCE,
            open=_beside_one(partial(writes_of_the_floor, name=_STORE)),
            note="bare psycopg and one compiled call; no gate but the hash, no sidecar, no accounting",
            at_most=_SLOW,
        ),
        Subject(
            name="MapProxy file made durable + row",
            role=Role.REFERENCE,
            open=_beside_one(partial(writes_of_mapproxy, name=_STORE)),
            needs=("mapproxy",),
            note="no hash, no gate, no sidecar; file and folder synced by us",
            at_most=_SLOW,
        ),
    ),
    full=_FULL,
    quick=_QUICK,
)
