"""How many of the true ten each way to search an area finds: ours, and graphs that are held to the area.

    python bench/area_recall.py --set demo-windows --count 22000 --rows 100 1000 20000
    python bench/area_recall.py --set clustered --count 22000 --rows 100 1000 20000

The judge is brute force in float32 over the stored float16 rows. Areas are rectangles of neighbouring tiles,
each asked for a descriptor near one of its own. On standard output a line for each number of rows and each
way: recall@10, and the median of single calls on one thread. Sets: see `index_recall.py`; windows of the
demo's imagery lie beside each other as on the ground. hnswlib and usearch are asked where they are
installed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import attrs
import faiss
import numpy as np
import numpy.typing as npt
from index_recall import make_set
from paths.area_search import (
    Asked,
    asked_within,
    bare_graph,
    filtered,
    hnswlib_filtered,
    row_of,
    usearch_kept,
    whole_then_kept,
)
from paths.built_indexes import PARAMS, BuiltIndex, build_index
from paths.descriptor_sets import NEIGHBOURS, Vectors
from peers import descriptor_graphs as graphs

from aerotile.adapters.faiss import FaissDescriptorIndex


@attrs.frozen(eq=False)
class Way:
    """A way to search an area."""

    name: str
    search: Callable[[Asked], set[int]]
    node_of: npt.NDArray[np.int64] | None = None
    """The node of each row, for a `search` that is asked and answers with nodes."""


def main() -> int:
    """Build the graphs of one set, and search them within areas of each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--set", choices=("clustered", "demo-windows"), default="clustered")
    parser.add_argument("--count", type=int, default=22_000)
    parser.add_argument("--dimension", type=int, default=512, help="of clustered descriptors")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1_000, 20_000])
    parser.add_argument("--areas", type=int, default=128)
    parser.add_argument("--work", type=Path, help="a folder on the disk to use; default: the temporary one")
    arguments = parser.parse_args()
    wanted = make_set(arguments.set, arguments.count, arguments.dimension, 2)
    sys.stdout.write(f"{wanted.name}; recall@{NEIGHBOURS} of {arguments.areas} areas\n")
    with tempfile.TemporaryDirectory(prefix="aerotile-area-recall-", dir=arguments.work) as work:
        built = build_index(Path(work), wanted)
        index = built.opened()
        faiss.omp_set_num_threads(1)  # after the build
        ways = [
            Way("Aerotile", partial(ours, index)),
            *graphs_of_faiss(built),
            *other_graphs(wanted.descriptors),
        ]
        stored = wanted.descriptors.astype(np.float16).astype(np.float32)
        for rows in arguments.rows:
            asked = asked_within(wanted.descriptors, rows)[: arguments.areas]
            for way in ways:
                show(way, asked, stored)
        index.close()
    return 0


def ours(index: FaissDescriptorIndex, one: Asked) -> set[int]:
    return {row_of(hit.tile_id) for hit in index.search_within(one.query, NEIGHBOURS, one.area)}


def graphs_of_faiss(built: BuiltIndex) -> list[Way]:
    graph, node_of = bare_graph(built)
    return [
        Way("FAISS with a filter", partial(filtered, graph), node_of),
        Way("1,000 nearest of FAISS, then filtered", partial(whole_then_kept, graph), node_of),
    ]


def other_graphs(descriptors: Vectors) -> Iterator[Way]:
    """Those that are installed."""
    if find_spec("hnswlib"):
        yield Way(
            "hnswlib with a filter", partial(hnswlib_filtered, graphs.build_hnswlib(descriptors, PARAMS))
        )
    if find_spec("usearch"):
        graph = graphs.build_usearch(descriptors, PARAMS, "f16")
        yield Way("1,000 nearest of usearch, then filtered", partial(usearch_kept, graph))


def show(way: Way, asked: list[Asked], stored: Vectors) -> None:
    """A line about one way."""
    right, taken = 0, []
    for one in asked:
        question, nearest = one, one.nearest(stored)
        if way.node_of is not None:
            question = attrs.evolve(one, rows=way.node_of[one.rows])
            nearest = set(way.node_of[list(nearest)].tolist())
        started = time.perf_counter()
        found = way.search(question)
        taken.append(time.perf_counter() - started)
        right += len(found & nearest)
    recall = right / (NEIGHBOURS * len(asked))
    median = float(np.median(taken)) * 1e6
    sys.stdout.write(f"{len(asked[0].rows)} rows: {way.name}: {recall:.3f}, {median:.0f} us\n")


if __name__ == "__main__":
    sys.exit(main())
