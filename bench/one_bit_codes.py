"""One-bit codes (RaBitQ) beside the graphs: bytes a descriptor, recall@10, time of a lookup without a prior.

    python bench/one_bit_codes.py --set demo-windows --count 10000
    python bench/one_bit_codes.py --set clustered --count 100000

Codes name candidates, whose distances are then those of the float16 vectors, as a generation would read them
from its place-ordered file. One thread, single calls; one JSON document on standard output, a line for each
index on standard error. RaBitQ: Gao and Long 2024, arXiv 2405.12497.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from index_recall import make_set
from paths.descriptor_sets import NEIGHBOURS, DescriptorSet

_faiss: Any = faiss  # the type stubs that faiss ships lack some names
QUERY_BITS = 8
CANDIDATES = (10, 40, 160, 640)
Search = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.int64]]


def main() -> int:
    """Build each index of one set, and search it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--set", choices=("clustered", "demo-tiles", "demo-windows"), default="clustered")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=300)
    arguments = parser.parse_args()
    wanted = make_set(arguments.set, arguments.count, arguments.dimension, arguments.queries)
    faiss.omp_set_num_threads(1)
    found = []
    for name, bytes_a_row, search in indexes(np.ascontiguousarray(wanted.descriptors, np.float32)):
        found.append({"index": name, "bytes_a_row": round(bytes_a_row), **timed(wanted, search)})
        sys.stderr.write("  ".join(map(str, found[-1].values())) + "\n")
    json.dump({"set": wanted.name, "rows": len(wanted.descriptors), "indexes": found}, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def indexes(vectors: npt.NDArray[np.float32]) -> Iterator[tuple[str, float, Search]]:
    """Each index by its name, the bytes that it has in memory for a row, and its search."""
    count, dimension = vectors.shape
    stored = vectors.astype(np.float16)
    links = 4 * 2 * 32
    for name, quantizer, component in (
        ("hnsw float16", faiss.ScalarQuantizer.QT_fp16, 2),
        ("hnsw sq8", faiss.ScalarQuantizer.QT_8bit, 1),
    ):
        graph = _faiss.IndexHNSWSQ(dimension, quantizer, 32)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 200, 64
        graph.train(vectors)
        graph.add(vectors)
        yield name, dimension * component + links, refined(graph, stored, 4 * NEIGHBOURS, None)
    flat = _faiss.IndexRaBitQ(dimension, faiss.METRIC_L2)
    flat.train(vectors)
    flat.add(vectors)
    parameters = _faiss.RaBitQSearchParameters()
    parameters.qb = QUERY_BITS
    for candidates in CANDIDATES:
        yield (
            f"one bit, all rows, {candidates} refined",
            flat.code_size,
            refined(flat, stored, candidates, parameters),
        )
    lists = round(4 * math.sqrt(count))
    quantizer = faiss.IndexFlatL2(dimension)
    inverted = _faiss.IndexIVFRaBitQ(quantizer, dimension, lists, faiss.METRIC_L2)
    inverted.train(vectors)
    inverted.add(vectors)
    for probes in (8, 32):
        for candidates in CANDIDATES[1:]:
            asked = _faiss.IVFRaBitQSearchParameters()
            asked.qb, asked.nprobe = QUERY_BITS, probes
            yield (
                f"one bit, {probes} of {lists} lists, {candidates} refined",
                inverted.code_size + 8 + lists * dimension * 4 / count,
                refined(inverted, stored, candidates, asked),
            )


def refined(index: Any, stored: npt.NDArray[np.float16], candidates: int, parameters: Any) -> Search:
    """A search whose candidates are ordered by the distances of the stored vectors."""

    def search(query: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        _, rows = index.search(query[None], candidates, params=parameters)
        named = rows[0][rows[0] >= 0]
        apart = stored[named].astype(np.float32) - query
        nearest: npt.NDArray[np.int64] = named[np.argsort(np.einsum("ij,ij->i", apart, apart))[:NEIGHBOURS]]
        return nearest

    return search


def timed(wanted: DescriptorSet, search: Search) -> dict[str, float]:
    """recall@10, and the time of single calls in microseconds."""
    answers, taken = [], []
    for query in wanted.queries:
        began = time.perf_counter_ns()
        rows = search(query)
        taken.append((time.perf_counter_ns() - began) / 1e3)
        answers.append(rows.tolist())
    p50, p99 = np.percentile(taken, [50, 99])
    return {
        "recall": round(wanted.recall(answers), 4),
        "p50_us": round(float(p50)),
        "p99_us": round(float(p99)),
    }


if __name__ == "__main__":
    sys.exit(main())
