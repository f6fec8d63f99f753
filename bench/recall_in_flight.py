"""A dataset recalled in mid-flight: what the next lookup holds and takes, and lookups before and after it.

    python bench/recall_in_flight.py
    python bench/recall_in_flight.py --tiles 100000 --digests 100000

A store of two datasets by halves, in an open process that looks tiles up by descriptor, with and without a
prior. A signed list of the digests of one of them, and of as many others as the list is to have, is applied
in between, as another process does. Exit code 1: a tile of the recalled dataset was found after that.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
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

from aerotile import Area, RecallConfig, TileId, find_tiles
from aerotile.adapters.composition import Runtime
from aerotile.adapters.recall_lists.lists import RECALL_LIST_FILES, RecallLists, write_list
from aerotile.adapters.signatures import Trust, write_new_key
from aerotile.domain.values.recall_list import RecallList

CANDIDATES, DIMENSION, RADIUS_M = 5, 512, 3_000.0
Lookup = Callable[[int], list[TileId]]


def main() -> int:
    """Fly, recall, fly on; print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiles", type=int, default=20_000)
    parser.add_argument("--digests", type=int, default=10_000, help="entries of the list")
    parser.add_argument("--rounds", type=int, default=1_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aerotile-recall-") as folder, ExitStack() as stack:
        workshop = Workshop(Path(folder), QUICK)
        stack.callback(workshop.close)
        key = Path(folder) / "recall.key"
        trust = Trust((write_new_key(key),), 1)
        config = attrs.evolve(
            linked_config(workshop, arguments.tiles),
            recall=RecallConfig(public_keys=trust.public_keys, threshold=trust.threshold),
        )
        runtime = stack.enter_context(Runtime(config))
        wanted = clustered(arguments.tiles, DIMENSION, arguments.rounds)
        ids = [tile_id(number) for number in range(arguments.tiles)]
        runtime.index_builder.rebuild(
            ids, wanted.descriptors, descriptor_model="bench", built_at=datetime.now(timezone.utc)
        )
        store = runtime.part("store_in_use")
        lookups = _lookups(runtime, np.asarray(wanted.queries), ids)
        # Tiles of one row of the grid share their bytes: every second row is of the dataset.
        of_dataset = {content for each in ids if each.y % 2 and (content := store.content_sha256(each))}
        tiles = sum(store.content_sha256(each) in of_dataset for each in ids)
        others = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(arguments.digests - len(of_dataset))]
        path = Path(folder) / "list.json"
        write_list(path, RecallList(number=1, reason="withdrawn", digests=(*of_dataset, *others)))
        RECALL_LIST_FILES.sign(path, key)
        before = {name: _times(lookup, arguments.rounds) for name, lookup in lookups.items()}
        began = time.perf_counter()
        RecallLists(config.recall_folder, trust).apply(RECALL_LIST_FILES.read(path), str(path))
        applied = time.perf_counter()
        found = lookups["P-9"](0)
        first = time.perf_counter()
        still = sum(store.content_sha256(each) in of_dataset for each in found)
        say = sys.stdout.write
        say(f"{tiles} of {arguments.tiles} tiles recalled by a list of {arguments.digests} digests\n")
        say(f"applied in {(applied - began) * 1e3:.1f} ms; ")
        say(f"the next lookup took {(first - applied) * 1e3:.1f} ms\n")
        for name, lookup in lookups.items():
            after = _times(lookup, arguments.rounds)
            for number in range(arguments.rounds):
                still += sum(store.content_sha256(each) in of_dataset for each in lookup(number))
            told = " -> ".join(
                f"{percentile(t, 50):.0f}/{percentile(t, 99):.0f}" for t in (before[name], after)
            )
            say(f"{name}: {told} us, before -> after, p50/p99\n")
        say(f"tiles of the recalled dataset in any lookup after it: {still}\n")
    return 1 if still else 0


def _lookups(runtime: Runtime, queries: np.ndarray, ids: list[TileId]) -> dict[str, Lookup]:
    store, index = runtime.part("store_in_use"), runtime.part("index_in_use")
    areas = [Area.around(*each.centre, RADIUS_M) for each in ids[:: max(1, len(ids) // 200)]]

    def find(number: int, near: Area | None = None) -> list[TileId]:
        query = queries[number % len(queries)]
        with find_tiles(query, CANDIDATES, index=index, store=store, near=near) as found:
            return [each.tile_id for each in found]

    return {"P-9": find, "P-9 within a prior": lambda number: find(number, areas[number % len(areas)])}


def _times(lookup: Lookup, rounds: int) -> list[float]:
    """Microseconds of so many lookups, in ascending order."""
    times = []
    for number in range(rounds):
        began = time.perf_counter_ns()
        lookup(number)
        times.append((time.perf_counter_ns() - began) / 1e3)
    return sorted(times)


if __name__ == "__main__":
    sys.exit(main())
