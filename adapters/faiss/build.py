"""Building an HNSW index and writing it as one generation's files."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import faiss
import numpy as np
import numpy.typing as npt

from ...domain.errors import IndexBuildError
from ...domain.values.descriptors import HnswParams, IndexKind, IndexMetadata, VectorStorage
from ..files.atomic_file import new_file
from ..files.file_digests import DigestingWriter, FileDigests
from ..index_files import INDEX_FILE, METADATA_FILE, ROWS_FILE
from ..own_process import OwnProcess
from .build_memory import DESCRIPTORS_AT_ONCE, TRAINED_ON
from .described_contents import write_contents
from .generations import SIDECAR_FILE
from .kinds import GraphCodes, graph_codes, links_per_tile
from .mapped_index import sidecar_content
from .metadata_file import encode_metadata
from .place_order import FAISS_METRICS, write_place_ordered

# The type stubs that faiss ships lack some names and get others wrong.
_faiss: Any = faiss
_DESCRIPTORS_PER_THREAD = 1000
_FILE_MODE = 0o440
SAMPLE = 4096
"""Descriptors that are built to tell how long all would take."""
_threads_of: OwnProcess | None = None
"""The process whose builds have started OpenMP's threads."""


def build_index(
    keys: npt.NDArray[np.int64],
    descriptors: npt.NDArray[Any],
    params: HnswParams,
    storage: VectorStorage,
    *,
    kind: IndexKind = IndexKind.HNSW,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> faiss.IndexIDMap2:
    """An index in memory of row i under key i. Raises `IndexBuildError`, and what `progress` raises.

    A kind that follows keys has its rows in their order, equal ones as given. Takes the memory of
    `build_memory_bytes`; `descriptors` is read chunk by chunk and may be a mapped file.
    """
    count, dimension = descriptors.shape
    metric = FAISS_METRICS[params.metric]
    codes = graph_codes(kind, storage)
    order = np.argsort(keys, kind="stable") if kind.follows_keys else None
    try:
        if codes.quantizer is None:
            graph = _faiss.IndexHNSWFlat(dimension, params.m, metric)
        else:
            graph = _faiss.IndexHNSWSQ(dimension, codes.quantizer, params.m, metric)
        graph.hnsw.efConstruction = params.ef_construction
        graph.hnsw.efSearch = params.ef_search
        index = faiss.IndexIDMap2(graph)
        _reserve(index, count, params, codes)
        with _threads(threads, count):
            # Nothing is learned for whole vectors; FAISS wants the call.
            learned_from: Any = (
                slice(DESCRIPTORS_AT_ONCE) if order is None else order[:: 1 + count // TRAINED_ON]
            )
            index.train(_aligned(descriptors[learned_from]))
            for start in range(0, count, DESCRIPTORS_AT_ONCE):
                rows: Any = slice(start, start + DESCRIPTORS_AT_ONCE)
                rows = rows if order is None else order[rows]
                index.add_with_ids(_aligned(descriptors[rows]), keys[rows])
                if progress is not None:
                    progress(min(start + DESCRIPTORS_AT_ONCE, count), count)
    except (RuntimeError, MemoryError) as error:
        raise IndexBuildError(f"faiss can't build the index: {error}") from error
    return index


def build_seconds(
    count: int,
    sample: npt.NDArray[Any],
    params: HnswParams,
    storage: VectorStorage,
    *,
    kind: IndexKind,
    threads: int,
) -> float:
    """About how long the graph of `count` descriptors takes, by building that of a sample.

    A descriptor is linked in a time that grows as the logarithm of those linked before (Malkov and Yashunin
    2018), and beyond the processor's caches by more. Raises `IndexBuildError`.
    """
    keys = np.arange(len(sample), dtype=np.int64)
    started = time.perf_counter()
    build_index(keys, sample, params, storage, kind=kind, threads=threads, progress=None)
    taken = time.perf_counter() - started
    return taken * count / len(sample) * (math.log(count + 1) / math.log(len(sample) + 1))


def _aligned(descriptors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """As C takes them; those of a mapped `.npz` begin anywhere."""
    return np.require(descriptors, np.float32, ("C_CONTIGUOUS", "ALIGNED"))


def _reserve(index: faiss.IndexIDMap2, count: int, params: HnswParams, codes: GraphCodes) -> None:
    """Take the memory of vectors, links and ids at once.

    Otherwise it grows by doubling, and in the worst case three times as much is in use for a moment. An
    emptied vector keeps what it took; FAISS offers no other way to say how many there will be.
    """
    graph = _faiss.downcast_index(index.index)
    links = round(count * links_per_tile(params.m))
    for vector, length in (
        (_faiss.downcast_index(graph.storage).codes, count * graph.d * codes.component_bytes),
        (graph.hnsw.neighbors, links),
        (graph.hnsw.levels, count),
        (graph.hnsw.offsets, count + 1),
        (index.id_map, count),
    ):
        empty = vector.size()
        vector.resize(length)
        vector.resize(empty)


def write_generation(
    folder: Path,
    index: faiss.IndexIDMap2,
    keys: npt.NDArray[np.int64],
    descriptors: npt.NDArray[Any],
    metadata: IndexMetadata,
    contents: npt.NDArray[np.uint8] | None,
) -> IndexMetadata:
    """Write and sync a generation's files: those of `write_index_files`, `tiles.contents` and the sidecar.

    `contents` are the digests of the tiles that row i was made from; see `write_contents`. None: not known.
    Raises `IndexBuildError`, `OSError`.
    """
    told = None if contents is None else write_contents(folder, keys, contents, mode=_FILE_MODE)
    metadata = attrs.evolve(metadata, contents_sha256=told)
    metadata, metadata_sha256 = write_index_files(folder, index, keys, descriptors, metadata)
    hashes = {INDEX_FILE: metadata.sha256, METADATA_FILE: metadata_sha256}
    with new_file(folder / SIDECAR_FILE, _FILE_MODE) as file:
        file.write(sidecar_content(hashes))
    return metadata


def write_index_files(
    folder: Path,
    index: faiss.IndexIDMap2,
    keys: npt.NDArray[np.int64],
    descriptors: npt.NDArray[Any],
    metadata: IndexMetadata,
) -> tuple[IndexMetadata, str]:
    """Write and sync the graph, the place-ordered descriptors and the metadata.

    Row i is under key i. The folder is for the caller to sync. Returns the metadata with the hashes of what
    was written, and the SHA-256 of the metadata's file. Raises `IndexBuildError`, `OSError`.
    """
    rows = write_place_ordered(
        folder, keys, descriptors, storage=metadata.storage, metric=metadata.metric, mode=_FILE_MODE
    ).encode()
    with new_file(folder / ROWS_FILE, _FILE_MODE) as file:
        file.write(rows)
    digests = _write_index(folder / INDEX_FILE, index)
    metadata = attrs.evolve(metadata, sha256=digests.sha256, rows_sha256=hashlib.sha256(rows).hexdigest())
    content = encode_metadata(metadata, digests)
    with new_file(folder / METADATA_FILE, _FILE_MODE) as file:
        file.write(content)
    return metadata, hashlib.sha256(content).hexdigest()


def _write_index(path: Path, index: faiss.IndexIDMap2) -> FileDigests:
    """Write and sync the index and return its digests, counted on the way.

    FAISS's own file writer loses the error of its last flush, so a full disk could pass unseen.
    """
    written = DigestingWriter()
    failures: list[OSError] = []
    with new_file(path, _FILE_MODE) as file:

        def write(chunk: bytes) -> None:
            try:
                file.write(chunk)
            except OSError as error:
                # FAISS swallows the exception's type; it is raised again below.
                failures.append(error)
                raise
            written.update(chunk)

        try:
            faiss.write_index(index, _faiss.PyCallbackIOWriter(write))
        except Exception as error:
            if failures:
                raise failures[0] from None
            raise IndexBuildError(f"faiss can't write {path}: {error}") from error
    return written.digests()


@contextmanager
def _threads(most: int, descriptors: int) -> Iterator[None]:
    """Build with at most `most` threads; OpenMP keeps the number per calling thread.

    Threads without enough to do cost more than they bring: they spin while they wait for each other.
    Raises `IndexBuildError` in a child that was forked since a build: it would wait for its parent's threads
    for ever.
    """
    global _threads_of
    if _threads_of is not None and not _threads_of.is_current:
        raise IndexBuildError(
            "this process was forked from one that had built an index, and FAISS's threads stayed there",
            remedy="build in a new interpreter: `aerotile index build`, or multiprocessing with spawn",
        )
    count = min(most, 1 + descriptors // _DESCRIPTORS_PER_THREAD)
    if count > 1:
        _threads_of = OwnProcess()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
