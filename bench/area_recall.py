"""How many of the true ten each way to search an area finds: ours, and graphs that are held to the area.

    python bench/area_recall.py --set demo-windows --count 22000 --rows 100 1000 20000
    python bench/area_recall.py --set clustered --count 22000 --rows 100 1000 20000

The judge is brute force in float32 over the stored float16 rows. Areas are rectangles of neighbouring tiles,
each asked for a descriptor near one of its own. A line for each number of rows on standard output. Sets: see
`index_recall.py`; windows of the demo's imagery lie beside each other as on the ground.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import attrs
import faiss
import numpy as np
from index_recall import make_set
from paths.area_search import asked_within, bare_graph, filtered, recall_of, row_of, whole_then_kept
from paths.built_indexes import build_index
from paths.descriptor_sets import NEIGHBOURS


def main() -> int:
    """Build one index, and search it within areas of each size."""
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
        graph, node_of = bare_graph(built)
        faiss.omp_set_num_threads(1)
        stored = wanted.descriptors.astype(np.float16).astype(np.float32)
        by_node = np.empty_like(stored)
        by_node[node_of] = stored
        for rows in arguments.rows:
            asked = asked_within(built, rows)[: arguments.areas]
            of_graph = [attrs.evolve(one, rows=node_of[one.rows]) for one in asked]
            ours = recall_of(
                asked,
                stored,
                lambda one: {
                    row_of(hit.tile_id) for hit in index.search_within(one.query, NEIGHBOURS, one.area)
                },
            )
            by_filter = recall_of(of_graph, by_node, partial(filtered, graph))
            kept = recall_of(of_graph, by_node, partial(whole_then_kept, graph))
            sys.stdout.write(
                f"{len(asked[0].rows)} rows: Aerotile {ours:.3f}, graph with a filter {by_filter:.3f}, "
                f"1,000 nearest of the graph, then filtered {kept:.3f}\n"
            )
        index.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
