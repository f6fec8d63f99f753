"""What the index's parameters cost and find: build time, memory, search time, recall@10 against exact search.

    python bench/index_recall.py --set clustered --count 100000 --m 16 32 --ef-construction 100 200
    python bench/index_recall.py --set demo-tiles
    python bench/index_recall.py --set demo-windows --count 10000
    python bench/index_recall.py --dimension 128 --count 1000 10000 100000 1000000 --ef-search 32

Each index is built and searched through `FaissDescriptorIndex`, in a process of its own, which sees its peak
of anonymous memory beside the bound that the build states. Times are of single calls, one thread. One JSON
document on standard output, a line for each index on standard error. Sets: see `paths/descriptor_sets.py` and
`paths/demo_descriptors.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from paths.descriptor_sets import NEIGHBOURS, DescriptorSet, Vectors, clustered

from aerotile import TileId, TileSource
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.values.descriptors import HnswParams, VectorStorage

ZOOM = 18
COLUMNS = 1000
POLL_S = 0.002


def main() -> int:
    """Build and search every combination."""
    arguments = read_arguments()
    indexes = []
    with tempfile.TemporaryDirectory(prefix="aerotile-index-recall-", dir=arguments.work) as work:
        for count in arguments.count:
            wanted = make_set(arguments.set, count, arguments.dimension, arguments.queries)
            stored = store_set(wanted, Path(work, "set"))
            for m, ef_construction, storage in product(
                arguments.m, arguments.ef_construction, arguments.storage
            ):
                params = HnswParams(m=m, ef_construction=ef_construction)
                # A process of its own: what an earlier build gave back would hide what this one takes.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                    facts = process.submit(
                        measure,
                        stored,
                        params,
                        VectorStorage(storage),
                        arguments.ef_search,
                        arguments.threads,
                    ).result()
                show(facts)
                indexes.append(facts)
    json.dump({"indexes": indexes}, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def make_set(name: str, count: int, dimension: int, queries: int) -> DescriptorSet:
    """One of the sets by the name that the command line knows it by."""
    if name == "clustered":
        return clustered(count, dimension, queries)
    from paths.demo_descriptors import demo_tiles, demo_windows

    return demo_tiles(queries) if name == "demo-tiles" else demo_windows(count, queries)


def store_set(wanted: DescriptorSet, folder: Path) -> tuple[str, Path]:
    """The set's name, and the folder where its arrays lie for other processes to map."""
    folder.mkdir(exist_ok=True)
    for name in ("descriptors", "queries", "nearest"):
        np.save(folder / f"{name}.npy", getattr(wanted, name))
    return wanted.name, folder


def load_set(stored: tuple[str, Path]) -> DescriptorSet:
    """The set, its descriptors mapped."""
    name, folder = stored
    return DescriptorSet(
        name=name,
        descriptors=np.load(folder / "descriptors.npy", mmap_mode="r"),
        queries=np.load(folder / "queries.npy"),
        nearest=np.load(folder / "nearest.npy"),
    )


def tile_of(row: int) -> TileId:
    """The tile that stands for row `row`."""
    return TileId(ZOOM, row % COLUMNS, row // COLUMNS, TileSource.SATELLITE_PROVIDER)


def row_of(tile: TileId) -> int:
    """The row that a tile stands for."""
    return tile.y * COLUMNS + tile.x


def measure(
    stored: tuple[str, Path],
    params: HnswParams,
    storage: VectorStorage,
    ef_search: list[int],
    threads: int | None,
) -> dict[str, Any]:
    """Build one index, then search it with every breadth."""
    wanted = load_set(stored)
    count, dimension = wanted.descriptors.shape
    tiles = [tile_of(row) for row in range(count)]
    with tempfile.TemporaryDirectory(prefix="index-", dir=stored[1].parent) as root:
        builder = FaissDescriptorIndex(Path(root), params=params, storage=storage, threads=threads)
        started = time.perf_counter()
        with peak_anonymous_bytes() as peak:
            built = builder.rebuild(
                tiles, wanted.descriptors, descriptor_model="bench", built_at=datetime.now(timezone.utc)
            )
        build_s = time.perf_counter() - started
        builder.close()
        file_bytes = (builder.generations.folder("000001") / "tiles.index").stat().st_size
        searches = [search(Path(root), params, breadth, wanted) for breadth in ef_search]
    return {
        "set": wanted.name,
        "count": count,
        "dimension": dimension,
        "queries": len(wanted.queries),
        "m": params.m,
        "ef_construction": params.ef_construction,
        "storage": storage.value,
        "faiss_version": built.faiss_version,
        "build_s": round(build_s, 3),
        "file_bytes": file_bytes,
        "build_peak_bytes": peak[0],
        "build_bound_bytes": builder.build_memory_bytes(count, dimension),
        "searches": searches,
    }


def search(root: Path, params: HnswParams, breadth: int, wanted: DescriptorSet) -> dict[str, Any]:
    """All queries twice, the second time on the clock."""
    index = FaissDescriptorIndex(
        root, params=HnswParams(m=params.m, ef_construction=params.ef_construction, ef_search=breadth)
    )
    queries: list[Vectors] = list(wanted.queries)
    found = [[row_of(hit.tile_id) for hit in index.search(query, NEIGHBOURS)] for query in queries]
    taken = []
    for query in queries:
        started = time.perf_counter()
        index.search(query, NEIGHBOURS)
        taken.append(time.perf_counter() - started)
    index.close()
    return {
        "ef_search": breadth,
        "recall_at_10": round(wanted.recall(found), 5),
        "p50_us": round(float(np.quantile(taken, 0.5)) * 1e6, 1),
        "p99_us": round(float(np.quantile(taken, 0.99)) * 1e6, 1),
    }


@contextmanager
def peak_anonymous_bytes() -> Iterator[list[int]]:
    """Watch this process; the list's one item is the most anonymous memory above that at the beginning."""
    before = anonymous_bytes()
    peak = [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            peak[0] = max(peak[0], anonymous_bytes() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def anonymous_bytes() -> int:
    """Resident memory of this process that is no file's."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not say how much anonymous memory is resident")


def show(facts: dict[str, Any]) -> None:
    """One index for a person."""
    lines = [
        f"{facts['set']}: M {facts['m']}, efConstruction {facts['ef_construction']}, {facts['storage']}: "
        f"built in {facts['build_s']:.1f} s, peak {facts['build_peak_bytes'] / 2**20:.0f} of "
        f"{facts['build_bound_bytes'] / 2**20:.0f} MiB, file {facts['file_bytes'] / 2**20:.0f} MiB"
    ]
    lines += [
        f"  efSearch {s['ef_search']:>4}  recall@10 {s['recall_at_10']:.4f}  "
        f"p50 {s['p50_us']:.0f} us  p99 {s['p99_us']:.0f} us"
        for s in facts["searches"]
    ]
    sys.stderr.write("\n".join(lines) + "\n")


def read_arguments() -> argparse.Namespace:
    """What the caller wants."""
    defaults = HnswParams()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--set", choices=("clustered", "demo-tiles", "demo-windows"), default="clustered")
    parser.add_argument("--count", type=int, nargs="+", default=[100_000], help="ignored by demo-tiles")
    parser.add_argument("--dimension", type=int, default=512, help="of clustered descriptors")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--m", type=int, nargs="+", default=[defaults.m])
    parser.add_argument("--ef-construction", type=int, nargs="+", default=[defaults.ef_construction])
    parser.add_argument("--ef-search", type=int, nargs="+", default=[10, 16, 24, 32, 48, 64, 96])
    parser.add_argument("--storage", nargs="+", choices=[s.value for s in VectorStorage], default=["float16"])
    parser.add_argument("--threads", type=int, help="that build; one per core by default")
    parser.add_argument("--work", type=Path, help="folder for what is written meanwhile")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
