"""What the flight record costs the thread that looks up: in full and by digest beside none, round by round.

    python bench/recorded_lookups.py
    python bench/recorded_lookups.py --rounds 2000 --pause 0

One process has the same store and index open three times, with each `record.lookups`. Each round calls all
three, in changing order, after a pause in which the recorder's thread writes; a cost is the median of the
differences within the rounds. The budget is for what the processor does on the caller's thread:
beside other programs the wall tells of them too. P-1 reads a tile's pixels, P-7 searches the graph, P-9 finds
five tiles with their pixels, P-15 searches within a circle.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path

import attrs
import numpy as np
from harness.dataset import tile_id
from harness.linked_store import linked_config
from harness.statistics import percentile
from harness.workshop import QUICK, Workshop
from paths.descriptor_sets import clustered

from aerotile import Area, RecordConfig, RecordLookups, TileId, find_tiles
from aerotile.adapters.composition import Runtime

CANDIDATES, DIMENSION, RADIUS_M = 5, 512, 3_000.0
MOST_US = 20.0
"""The budget: what a recorded lookup may cost the caller's thread."""

Call = Callable[[int], object]


def main() -> int:
    """Measure once, print a row for each path, and fail where the budget is passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiles", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--pause", type=float, default=0.005, help="seconds between two rounds")
    arguments = parser.parse_args()
    dearest = 0.0
    with tempfile.TemporaryDirectory(prefix="aerotile-recorded-") as folder, ExitStack() as stack:
        workshop = Workshop(Path(folder), QUICK)
        stack.callback(workshop.close)
        config = linked_config(workshop, arguments.tiles)
        wanted = clustered(arguments.tiles, DIMENSION, arguments.rounds)
        ids = [tile_id(number) for number in range(arguments.tiles)]
        runtimes = []
        for lookups in RecordLookups:
            record = RecordConfig(lookups=lookups, lookup_bytes_per_hour=1 << 40)
            runtimes.append(stack.enter_context(Runtime(attrs.evolve(config, record=record))))
        runtimes[0].index_builder.rebuild(
            ids, wanted.descriptors, descriptor_model="bench", built_at=datetime.now(timezone.utc)
        )
        paths = [dict(_paths(runtime, np.asarray(wanted.queries), ids)) for runtime in runtimes]
        for name in paths[0]:
            calls = {lookups: path[name] for lookups, path in zip(RecordLookups, paths, strict=True)}
            for what, times in _rounds(calls, arguments.rounds, arguments.pause).items():
                off = times[RecordLookups.OFF]
                row = [f"{name} {what}:"]
                for lookups, taken in times.items():
                    cost = _cost(off, taken)
                    p50, p99 = percentile(sorted(taken), 50), percentile(sorted(taken), 99)
                    row.append(f"{lookups.value} {p50:.1f}/{p99:.1f} us ({cost:+.1f})")
                    if what == "processor":
                        dearest = max(dearest, cost)
                sys.stdout.write("  ".join(row) + "\n")
    return 0 if dearest <= MOST_US else 1


def _paths(runtime: Runtime, queries: np.ndarray, ids: list[TileId]) -> Iterator[tuple[str, Call]]:
    store, index = runtime.part("store_in_use"), runtime.part("index_in_use")
    areas = [Area.around(*tile.centre, RADIUS_M) for tile in ids[:: max(1, len(ids) // 200)]]
    count = len(queries)

    def find(number: int) -> None:
        with find_tiles(queries[number % count], CANDIDATES, index=index, store=store):
            pass

    yield "P-1", lambda number: store.read_tile_pixels(ids[number * 37 % len(ids)]).close()
    yield "P-7", lambda number: index.search(queries[number % count], CANDIDATES)
    yield "P-9", find
    yield (
        "P-15",
        lambda number: index.search_within(queries[number % count], CANDIDATES, areas[number % len(areas)]),
    )


def _rounds(
    calls: dict[RecordLookups, Call], rounds: int, pause_s: float
) -> dict[str, dict[RecordLookups, list[float]]]:
    """Microseconds of each call, by the wall and by the processor; in each order of a round as often.

    `first`: the processor's, of the call that begins a round, which finds the caches cold.
    """
    wall, processor, first = ({lookups: [] for lookups in calls} for _ in range(3))
    orders, begins = itertools.cycle(itertools.permutations(calls)), itertools.cycle(calls)
    for number in range(rounds):
        time.sleep(pause_s)
        begin_with = next(begins)
        first[begin_with].append(_taken(calls[begin_with], number)[1])
        for call in calls.values():
            call(number)
        for lookups in next(orders):
            calls[lookups](number)  # so that none pays for what all read first
            by_wall, by_processor = _taken(calls[lookups], number)
            wall[lookups].append(by_wall)
            processor[lookups].append(by_processor)
    return {"wall": wall, "processor": processor, "first": first}


def _taken(call: Call, number: int) -> tuple[float, float]:
    begin, ran = time.perf_counter_ns(), time.thread_time_ns()
    call(number)
    processor = time.thread_time_ns() - ran
    return (time.perf_counter_ns() - begin) / 1e3, processor / 1e3


def _cost(off: list[float], taken: list[float]) -> float:
    """The median of the differences within the rounds, or the difference of the medians."""
    if len(off) == len(taken):
        return statistics.median(with_it - without for without, with_it in zip(off, taken, strict=True))
    return statistics.median(taken) - statistics.median(off)


if __name__ == "__main__":
    sys.exit(main())
