"""Kinds of index at 100,000 to 10,000,000 descriptors: rate of the build, memory, recall@10, times.

    python bench/index_sizes.py graph --kind hnsw --work FOLDER
    python bench/index_sizes.py codes --rows 10000000 --work FOLDER

The rows are a million clustered descriptors, made once in FOLDER as float16; more than a million are those
again and again, each component with noise of 0.02. What is right is found by comparing with every stored row.
`graph` links the first 100,000 to 1,000,000 rows in one graph and searches it at four sizes; it ends
after `--seconds`, and the same command goes on. `codes` names candidates by one-bit codes in inverted lists
(RaBitQ) and orders them by the stored vectors, mapped: in the page cache, and just after they were dropped
from it. One thread, single calls. One JSON line for each figure on standard output.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from one_bit_codes import QUERY_BITS, refined, timed
from paths.descriptor_sets import NEIGHBOURS, DescriptorSet, clustered

from aerotile import HnswParams
from aerotile.adapters.faiss.kinds import graph_codes
from aerotile.domain.values.descriptors import IndexKind, VectorStorage

_faiss: Any = faiss  # the type stubs that faiss ships lack some names
BASE = 1_000_000
NOISE = 0.02
GRAPH_SIZES = (100_000, 300_000, 600_000, 1_000_000)
_STEP = 50_000
_TRAINED = 64
"""Rows for each inverted list from which the lists' centres are learnt."""


def main() -> int:
    """Build one index, and search it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("index", choices=("graph", "codes"))
    parser.add_argument("--kind", choices=[kind.value for kind in IndexKind], default="hnsw")
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the codes")
    parser.add_argument("--lists", type=int, default=2_048)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=400, help="after which the graph stops")
    parser.add_argument("--work", type=Path, required=True, help="a folder on the disk; nothing removes it")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    faiss.omp_set_num_threads(1)
    if arguments.index == "graph":
        graph(arguments)
    else:
        codes(arguments)
    return 0


def graph(arguments: argparse.Namespace) -> None:
    """Link rows, from where the last call ended."""
    stored, queries = stored_rows(arguments, BASE)
    kind, params = IndexKind(arguments.kind), HnswParams()
    what = graph_codes(kind, VectorStorage.FLOAT16)
    path, noted = arguments.work / f"{kind.value}.index", arguments.work / f"{kind.value}.seconds"
    if path.exists():
        index, spent = faiss.read_index(str(path)), float(noted.read_text())
    else:
        index, spent = what.graph_class(arguments.dimension, what.quantizer, params.m), 0.0
        index.hnsw.efConstruction = params.ef_construction
        index.train(stored[: 2 * _STEP].astype(np.float32))
    index.hnsw.efSearch = params.ef_search
    started = time.monotonic()
    while index.ntotal < BASE and time.monotonic() - started < arguments.seconds:
        rows = stored[index.ntotal : index.ntotal + _STEP].astype(np.float32)
        began = time.process_time()
        index.add(rows)
        spent += time.process_time() - began
        if index.ntotal in GRAPH_SIZES:
            wanted = wanted_of(stored[: index.ntotal], queries, arguments.work)
            candidates = max(4 * NEIGHBOURS, params.ef_search) if kind.follows_keys else NEIGHBOURS
            say(
                index=kind.value,
                rows=index.ntotal,
                processor_s=round(spent),
                rows_a_second=round(index.ntotal / spent),
                last_rows_a_second=round(_STEP / (time.process_time() - began)),
                **timed(wanted, refined(index, stored, candidates, None)),
            )
    faiss.write_index(index, str(path))
    noted.write_text(str(spent))
    say(index=kind.value, rows=index.ntotal, file_mib=path.stat().st_size >> 20)


def codes(arguments: argparse.Namespace) -> None:
    """One-bit codes in inverted lists, and the stored vectors of their candidates."""
    stored, queries = stored_rows(arguments, arguments.rows)
    path = arguments.work / f"codes-{arguments.rows}.index"
    if not path.exists():
        began = time.process_time()
        index = _faiss.IndexIVFRaBitQ(
            faiss.IndexFlatL2(arguments.dimension), arguments.dimension, arguments.lists, faiss.METRIC_L2
        )
        step = max(1, BASE // (_TRAINED * arguments.lists))
        index.train(stored[:BASE:step].astype(np.float32))
        trained = time.process_time() - began
        for first in range(0, arguments.rows, _STEP):
            index.add(stored[first : first + _STEP].astype(np.float32))
        spent = time.process_time() - began
        faiss.write_index(index, str(path))
        say(index="codes", rows=arguments.rows, processor_s=round(spent), of_which_training_s=round(trained))
    index = faiss.read_index(str(path))
    wanted = wanted_of(stored, queries, arguments.work)
    with dropped(stored, arguments.work / f"rows-{arguments.rows}.npy") as from_disk:
        search = refined(index, from_disk, 160, parameters(32))
        say(index="codes", lists=32, candidates=160, vectors="on the disk", **timed(wanted, search))
    for probes in (8, 32, 128):
        for candidates in (40, 160, 640):
            search = refined(index, stored, candidates, parameters(probes))
            timed(wanted, search)
            say(
                index="codes",
                rows=arguments.rows,
                lists=f"{probes} of {index.nlist}",
                candidates=candidates,
                bytes_a_row=round(path.stat().st_size / arguments.rows, 1),
                **timed(wanted, search),
            )


def parameters(probes: int) -> Any:
    """Of a search in so many lists."""
    asked = _faiss.IVFRaBitQSearchParameters()
    asked.qb, asked.nprobe = QUERY_BITS, probes
    return asked


def stored_rows(
    arguments: argparse.Namespace, rows: int
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
    """The first `rows` rows, mapped, and the queries; made where they are not there."""
    base, asked = arguments.work / f"rows-{BASE}.npy", arguments.work / "queries.npy"
    if not base.exists():
        made = clustered(BASE, arguments.dimension, arguments.queries)
        np.save(asked, made.queries)
        np.save(base, made.descriptors.astype(np.float16))
    path = arguments.work / f"rows-{rows}.npy"
    if not path.exists():
        first = np.load(base, mmap_mode="r")
        partial = path.with_suffix(".partial")
        more = np.lib.format.open_memmap(partial, "w+", np.float16, (rows, arguments.dimension))
        rng = np.random.default_rng(18)
        for begin in range(0, rows, _STEP):
            block = first[np.arange(begin, min(begin + _STEP, rows)) % BASE].astype(np.float32)
            if begin >= BASE:
                block += np.float32(NOISE) * rng.standard_normal(block.shape, np.float32)
                block /= np.linalg.norm(block, axis=1, keepdims=True)
            more[begin : begin + len(block)] = block
        more.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r"), np.load(asked)[: arguments.queries]


def wanted_of(stored: npt.NDArray[np.float16], queries: npt.NDArray[np.float32], work: Path) -> DescriptorSet:
    """The queries and their nearest rows, by comparing with every one, block by block, once in a folder."""
    noted = work / f"nearest-{len(stored)}-{len(queries)}.npy"
    if noted.exists():
        return DescriptorSet(name="clustered", descriptors=stored, queries=queries, nearest=np.load(noted))
    heap = faiss.ResultHeap(len(queries), NEIGHBOURS)
    for first in range(0, len(stored), _STEP):
        distances, rows = faiss.knn(queries, stored[first : first + _STEP].astype(np.float32), NEIGHBOURS)
        heap.add_result(distances, rows + first)
    heap.finalize()
    np.save(noted, heap.I)
    return DescriptorSet(name="clustered", descriptors=stored, queries=queries, nearest=heap.I)


@contextmanager
def dropped(stored: npt.NDArray[np.float16], path: Path) -> Iterator[npt.NDArray[np.float16]]:
    """The rows, mapped anew, whose pages the kernel was asked to forget."""
    stored._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # a page that is mapped stays
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    yield np.load(path, mmap_mode="r")


def say(**facts: Any) -> None:
    """One line of figures."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
