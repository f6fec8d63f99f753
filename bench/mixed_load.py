"""Reads while everything else goes on: 4 reader threads, 1 writer and 1 thread of pure Python, for a minute.

    python bench/mixed_load.py
    python bench/mixed_load.py --seconds 10 --json

First one thread reads alone, in the same process and over the same tiles; the figures are compared with that.
All threads share one interpreter's lock and go at it without a pause, which is harder than any flight: a
thread that is sent away waits for the others' turns of 5 ms each (`sys.getswitchinterval()`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np
from harness.dataset import metadata_of, shuffled, tile_id, tile_pixels
from harness.statistics import percentile
from harness.workshop import QUICK, FilledStore, Workshop

READERS = 4
_TILES_READ = 1_000
_MEASURED_EACH = 8
"""One read in so many is timed, so that a minute's times fit into memory; all are done."""
_WRITTEN_COLUMNS = 10


def main() -> int:
    """Run once and print what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--folder", type=Path, help="where the data goes; on the file system to write to")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="aerotile-mixed-load-", dir=arguments.folder))
    workshop = Workshop(folder, QUICK)
    try:
        facts = mixed_load(workshop, arguments.seconds)
    finally:
        workshop.close()
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps(facts, indent=2) + "\n" if arguments.json else describe(facts) + "\n")
    return 0


def mixed_load(workshop: Workshop, seconds: float) -> dict[str, Any]:
    """The figures of one run, times in seconds."""
    store = workshop.filled("mixed load", range(_TILES_READ))
    touch = workshop.floors.module("pagetouch").touch
    alone = _Crowd()
    alone.start(_Reader(store, touch, 0))
    alone.wait(min(10.0, seconds / 4))
    crowd = _Crowd()
    readers = [_Reader(store, touch, number) for number in range(READERS)]
    for reader in readers:
        crowd.start(reader)
    writer, computer = _Writer(store), _Computer()
    crowd.start(writer)
    crowd.start(computer)
    crowd.wait(seconds)
    (single,) = alone.members
    return {
        "seconds": seconds,
        "readers": READERS,
        "single": _figures([single.taken], single.done / alone.seconds),
        "mixed": _figures(
            [reader.taken for reader in readers], sum(reader.done for reader in readers) / crowd.seconds
        ),
        "written": writer.done,
        "write_seconds": _figures([writer.taken], writer.done / crowd.seconds),
        "computed_rounds_per_s": computer.done / crowd.seconds,
    }


def describe(facts: dict[str, Any]) -> str:
    """The figures in sentences."""

    def times(figures: dict[str, float]) -> str:
        names = ("p50", "p99", "p99.9", "most")
        return ", ".join(f"{name} {figures[name] * 1e6:.3g} us" for name in names)

    return (
        f"one thread alone: {times(facts['single'])}, {facts['single']['per_s']:.0f} reads/s\n"
        f"{facts['readers']} readers beside a writer and a thread that computes, {facts['seconds']:g} s: "
        f"{times(facts['mixed'])}, {facts['mixed']['per_s']:.0f} reads/s\n"
        f"written meanwhile: {facts['written']} tiles, {times(facts['write_seconds'])}"
    )


def _figures(taken: list[array[int]], per_s: float) -> dict[str, float]:
    samples = np.sort(np.concatenate([np.frombuffer(each, np.int64) for each in taken])) / 1e9
    return {
        "p50": percentile(samples, 50),
        "p99": percentile(samples, 99),
        "p99.9": percentile(samples, 99.9),
        "most": float(samples[-1]),
        "samples": len(samples),
        "per_s": per_s,
    }


class _Crowd:
    """Threads that do the same over and over until all are stopped."""

    def __init__(self) -> None:
        self.members: list[Any] = []
        self.seconds = 0.0
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        self._started = perf_counter()

    def start(self, member: Any) -> None:
        def work() -> None:
            try:
                while not self._over.is_set():
                    member.turn()
            except BaseException as failure:  # noqa: BLE001 # raised again in the thread that waits
                self._failures.append(failure)
                self._over.set()

        self.members.append(member)
        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()

    def wait(self, seconds: float) -> None:
        self._over.wait(seconds)
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.seconds = perf_counter() - self._started
        if self._failures:
            raise self._failures[0]


class _Reader:
    """Reads tiles and touches every page of them."""

    def __init__(self, store: FilledStore, touch: Callable[[Any], int], seed: int) -> None:
        self.taken = array("q")
        self.done = 0
        self._read = store.store.read_tile_pixels
        self._touch = touch
        self._tiles = [tile_id(number) for number in shuffled(range(_TILES_READ), seed)]

    def turn(self) -> None:
        read, touch = self._read, self._touch
        for place, tile in enumerate(self._tiles):
            if place % _MEASURED_EACH:
                touch(read(tile))
                continue
            before = perf_counter_ns()
            touch(read(tile))
            self.taken.append(perf_counter_ns() - before)
        self.done += len(self._tiles)


class _Writer:
    """Writes one tile after the other, each durable."""

    def __init__(self, store: FilledStore) -> None:
        self.taken = array("q")
        self.done = 0
        self._write = store.store.write_tile
        self._pixels = tile_pixels(0)

    def turn(self) -> None:
        # Rows of their own: nobody reads what is written here.
        place = tile_id(
            (100_000 + self.done) * _WRITTEN_COLUMNS + self.done % _WRITTEN_COLUMNS, _WRITTEN_COLUMNS
        )
        metadata = metadata_of(place, self._pixels)
        before = perf_counter_ns()
        self._write(self._pixels, metadata)
        self.taken.append(perf_counter_ns() - before)
        self.done += 1


class _Computer:
    """Pure Python that holds the interpreter's lock as long as it is let."""

    def __init__(self) -> None:
        self.done = 0

    def turn(self) -> None:
        total = 0
        for number in range(10_000):
            total += number * number % 7
        hashlib.sha256(str(total).encode())
        self.done += 1


if __name__ == "__main__":
    sys.exit(main())
