"""P-15 as the base grows, beside a scan of the same rows in C: warm, in the caches, and first use.

    python bench/area_growth.py --rows 1000 10000 100000 1000000 10000000 --work FOLDER

A base is made by repeating 100,000 clustered descriptors under tiles of their own. Only its place-ordered
part is written, by the program's own functions: a search within an area asks no graph. 10 million rows of
512 components take 10 GB in FOLDER, and as much of the page cache, for the C scan has the kernel read the
whole file; they go before the next size is written. On standard output for each size:
what the build took, what opening adds, and for each number of rows in an area the medians of blocks that
alternate between the C scan and ours: of areas anywhere in the base, and of one area again and again. The
first use of an area's blocks hashes them.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import cycle
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from harness.dataset import tile_id
from harness.floors import Floors, running
from index_recall import anonymous_bytes, peak_anonymous_bytes
from paths.area_search import Asked, asked_within, row_of, write_questions
from paths.descriptor_sets import NEIGHBOURS, Vectors, clustered

from aerotile import HnswParams
from aerotile.adapters.faiss.area_search import AreaSearch
from aerotile.adapters.faiss.mapped_index import open_areas
from aerotile.adapters.faiss.place_order import BlockLayout, write_place_ordered
from aerotile.domain.values.descriptors import IndexMetadata, VectorStorage
from aerotile.domain.values.tile_key import VariantTable
from aerotile.ext import TileKeyCodec

SHARD = 100_000
_CHECKED = 16


class Repeated:
    """As many descriptors as wanted, over and over those of one shard."""

    def __init__(self, shard: Vectors, rows: int) -> None:
        self._shard = shard
        self.shape = (rows, shard.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        return self._shard[rows % len(self._shard)]


def main() -> int:
    """Write, open and search a base of each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--areas", type=int, nargs="+", default=[1_024, 20_000], help="rows of an area")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--work", type=Path, help="a folder on the disk to use; default: the temporary one")
    arguments = parser.parse_args()
    shard = clustered(SHARD, arguments.dimension, 1).descriptors
    faiss.omp_set_num_threads(1)
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(prefix="aerotile-area-growth-", dir=arguments.work) as work:
            measure(Path(work), Repeated(shard, rows), arguments.areas, arguments.blocks)
    return 0


def measure(work: Path, descriptors: Any, sizes: list[int], blocks: int) -> None:
    """One base."""
    folder = work / "generations" / "000001"
    folder.mkdir(parents=True)
    metadata = write(folder, descriptors)
    before, started = anonymous_bytes(), time.perf_counter()
    areas = open_areas(folder, metadata)
    assert areas is not None
    opened = time.perf_counter() - started
    say(f"  opened in {opened * 1e3:.1f} ms, {(anonymous_bytes() - before) / 1e6:.1f} MB anonymous")
    program = Floors(work / "floors").program("scan_halves")
    layout = BlockLayout(len(descriptors), metadata.dimension, metadata.storage, metadata.metric)
    for size in sorted({min(size, len(descriptors) // 2) for size in sizes}):
        asked = asked_within(descriptors, size)
        firsts = [first_use(folder, metadata, one) for one in asked[: 4 * _CHECKED]]
        rounds = 1 + 150_000 // size
        for where, some in (("anywhere", asked), ("in the caches", asked[:1])):
            questions = work / "questions"
            write_questions(questions, some, areas.keys, layout)
            arguments = (folder / "tiles.descriptors", questions, metadata.dimension, NEIGHBOURS)
            recall = np.mean([share_found(areas, one, descriptors) for one in some[:_CHECKED]])
            for one in some:
                areas.nearest(one.query, NEIGHBOURS, one.area)
            with running(program, *arguments) as floor:
                floor.sample(len(some))
                turn = cycle(some)
                taken = np.array(
                    [
                        (percentiles(floor.sample(rounds)), percentiles(sample(areas, turn.__next__, rounds)))
                        for _ in range(blocks)
                    ]
                )
            (scan, scan_p99), (ours, ours_p99) = np.median(taken, axis=0)
            ratio = np.median(taken[:, 1, 0] / taken[:, 0, 0])
            say(
                f"  {len(some[0].rows)} rows, {where}: C scan {scan:.0f}/{scan_p99:.0f} us, "
                f"Aerotile {ours:.0f}/{ours_p99:.0f} us (p50/p99), {ratio:.2f}, recall {recall:.4f}"
            )
        say(f"  {len(asked[0].rows)} rows, first use: {np.median(firsts) * 1e3:.2f} ms")


def write(folder: Path, descriptors: Any) -> IndexMetadata:
    """The place-ordered part and what is known of it."""
    rows = len(descriptors)
    codec = TileKeyCodec(VariantTable())
    keys = np.fromiter((codec.encode(tile_id(row)) for row in range(rows)), np.int64, rows)
    started = time.perf_counter(), time.process_time()
    with peak_anonymous_bytes() as peak:
        written = write_place_ordered(
            folder,
            keys,
            descriptors,
            storage=VectorStorage.FLOAT16,
            metric=HnswParams().metric,
            mode=0o644,
        ).encode()
    taken = time.perf_counter() - started[0], time.process_time() - started[1]
    (folder / "tiles.rows").write_bytes(written)
    say(
        f"{rows} x {descriptors.shape[1]}: written in {taken[0]:.1f} s ({taken[1]:.1f} s of the processor), "
        f"peak {peak[0] / 1e6:.0f} MB"
    )
    return IndexMetadata(
        dimension=descriptors.shape[1],
        count=rows,
        params=HnswParams(),
        storage=VectorStorage.FLOAT16,
        descriptor_model="bench",
        faiss_version=faiss.__version__,
        sha256="",
        rows_sha256=hashlib.sha256(written).hexdigest(),
        built_at=datetime.now(timezone.utc),
        variants=VariantTable(),
    )


def first_use(folder: Path, metadata: IndexMetadata, one: Asked) -> float:
    """Of the blocks of an area, in an index of its own."""
    areas = open_areas(folder, metadata)
    assert areas is not None
    started = time.perf_counter()
    areas.nearest(one.query, NEIGHBOURS, one.area)
    return time.perf_counter() - started


def share_found(areas: AreaSearch, one: Asked, descriptors: Any) -> float:
    """Of the exact neighbours; rows as near as the last of them count as such."""
    stored = descriptors[one.rows].astype(np.float16).astype(np.float32)
    far = np.square(stored - one.query).sum(axis=1)
    last = np.sort(far)[NEIGHBOURS - 1] * np.float32(1.000001)
    place = {row: number for number, row in enumerate(one.rows.tolist())}
    hits = areas.nearest(one.query, NEIGHBOURS, one.area)
    return sum(1 for hit in hits if far[place[row_of(hit.tile_id)]] <= last) / NEIGHBOURS


def sample(areas: AreaSearch, ask: Callable[[], Asked], rounds: int) -> npt.NDArray[np.float64]:
    """Seconds of single calls."""
    taken = np.empty(rounds)
    for number in range(rounds):
        one = ask()
        started = time.perf_counter()
        areas.nearest(one.query, NEIGHBOURS, one.area)
        taken[number] = time.perf_counter() - started
    return taken


def percentiles(taken: npt.NDArray[np.float64]) -> tuple[float, float]:
    """p50 and p99 in microseconds."""
    return float(np.quantile(taken, 0.5)) * 1e6, float(np.quantile(taken, 0.99)) * 1e6


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
