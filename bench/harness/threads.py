"""Times of single calls that several threads make at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from .operations import Samples, Seconds


def from_threads(call: Callable[..., object], arguments: Sequence[tuple[Any, ...]], threads: int) -> Samples:
    """Samples of `call`, made by `threads` threads at once; each goes through `arguments` from its own start.

    What a thread waits for the interpreter's lock within a call counts as time of that call.
    """
    places = [thread * len(arguments) // threads for thread in range(threads)]

    def sample(rounds: int) -> Seconds:
        share = -(-rounds // threads)
        taken: list[list[int]] = [[] for _ in range(threads)]
        failures: list[BaseException] = []
        together = threading.Barrier(threads)

        def work(thread: int) -> None:
            start = places[thread]
            places[thread] = (start + share) % len(arguments)
            mine = [arguments[(start + n) % len(arguments)] for n in range(share)]
            note = taken[thread].append
            together.wait()
            try:
                for wanted in mine:
                    before = perf_counter_ns()
                    call(*wanted)
                    note(perf_counter_ns() - before)
            except BaseException as failure:  # noqa: BLE001 # raised again in the thread that asked
                failures.append(failure)

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]
        return np.array([nanoseconds for of in taken for nanoseconds in of], np.float64) / 1e9

    return Samples(sample=sample)


def voluntary_switches() -> int:
    """How often this thread gave the processor away to wait for something."""
    with Path("/proc/thread-self/status").open(encoding="ascii") as status:
        for line in status:
            if line.startswith("voluntary_ctxt_switches"):
                return int(line.split()[1])
    raise RuntimeError("/proc/thread-self/status says nothing about context switches")


def waits_per_call(
    call: Callable[..., object], arguments: Callable[[], tuple[Any, ...]], calls: int
) -> float:
    """How often a call makes its thread wait; a database round trip waits at least once."""
    prepared = [arguments() for _ in range(calls)]
    before = voluntary_switches()
    for wanted in prepared:
        call(*wanted)
    return (voluntary_switches() - before) / calls


_SWITCH_INTERVALS_S = (0.02, 0.05, 0.1)
"""Long ones, beside which the disk and other programs of the machine are soon forgotten."""


@contextmanager
def computing(threads: int) -> Iterator[None]:
    """So many threads of pure Python that compute without a pause."""
    over = threading.Event()

    def compute() -> None:
        total = 0
        while not over.is_set():
            for number in range(10_000):
                total += number * number % 7

    crowd = [threading.Thread(target=compute) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in crowd:
            thread.join()


def lock_takings(sample: Callable[[], Seconds]) -> float:
    """How often a call waits for the interpreter's lock beside one computing thread.

    `sample` takes its times there. The slope of their mean over the switch interval, by least squares.
    """
    usual = sys.getswitchinterval()
    means = []
    try:
        for interval in _SWITCH_INTERVALS_S:
            sys.setswitchinterval(interval)
            means.append(float(np.mean(sample())))
    finally:
        sys.setswitchinterval(usual)
    slope, _ = np.polyfit(_SWITCH_INTERVALS_S, means, 1)
    return float(slope)
