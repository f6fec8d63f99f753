"""Building an HNSW index and writing it as one generation's three files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import faiss
import numpy as np
import numpy.typing as npt

from ...domain.descriptors import HnswParams, IndexMetadata, VectorStorage
from ...domain.errors import IndexBuildError
from .generations import INDEX_FILE, METADATA_FILE, SIDECAR_FILE, write_durably
from .mapped_index import FAISS_METRICS, sidecar_content
from .metadata_file import encode_metadata

# The type stubs that faiss ships lack some names and get others wrong.
_faiss: Any = faiss
_CHUNK = 4096
"""Descriptors added at once: enough to keep every thread busy, few enough for progress to move."""
_DESCRIPTORS_PER_THREAD = 1000
_FILE_MODE = 0o440


def build_index(
    keys: npt.NDArray[np.int64],
    descriptors: npt.NDArray[np.float32],
    params: HnswParams,
    storage: VectorStorage,
    *,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> faiss.IndexIDMap2:
    """An index in memory of row i under key i. Raises `IndexBuildError`, and what `progress` raises."""
    dimension = descriptors.shape[1]
    metric = FAISS_METRICS[params.metric]
    try:
        if storage is VectorStorage.FLOAT16:
            # Larger numbers are infinite in float16, and an infinite distance hides the tile for good.
            largest = float(np.abs(descriptors).max())
            if largest > float(np.finfo(np.float16).max):
                raise IndexBuildError(
                    f"a descriptor component of {largest:g} does not fit into float16",
                    remedy="normalise the descriptors or keep the vectors as float32",
                )
            graph = _faiss.IndexHNSWSQ(dimension, faiss.ScalarQuantizer.QT_fp16, params.m, metric)
        else:
            graph = _faiss.IndexHNSWFlat(dimension, params.m, metric)
        graph.hnsw.efConstruction = params.ef_construction
        graph.hnsw.efSearch = params.ef_search
        index = faiss.IndexIDMap2(graph)
        with _threads(threads, len(keys)):
            # Nothing is learned for float16; FAISS wants the call.
            index.train(descriptors[:_CHUNK])
            for start in range(0, len(keys), _CHUNK):
                rows = slice(start, start + _CHUNK)
                index.add_with_ids(descriptors[rows], keys[rows])
                if progress is not None:
                    progress(min(start + _CHUNK, len(keys)), len(keys))
    except (RuntimeError, MemoryError) as error:
        raise IndexBuildError(f"faiss can't build the index: {error}") from error
    return index


def write_generation(folder: Path, index: faiss.IndexIDMap2, metadata: IndexMetadata) -> IndexMetadata:
    """Write and sync the three files; the folder is for the caller to sync.

    Returns the metadata with the hash of what was written. Raises `IndexBuildError`, `OSError`.
    """
    metadata = attrs.evolve(metadata, sha256=_write_index(folder / INDEX_FILE, index))
    content = encode_metadata(metadata)
    write_durably(folder / METADATA_FILE, content, mode=_FILE_MODE)
    hashes = {INDEX_FILE: metadata.sha256, METADATA_FILE: hashlib.sha256(content).hexdigest()}
    write_durably(folder / SIDECAR_FILE, sidecar_content(hashes), mode=_FILE_MODE)
    return metadata


def _write_index(path: Path, index: faiss.IndexIDMap2) -> str:
    """Write and sync the index and return its SHA-256, counted on the way.

    FAISS's own file writer loses the error of its last flush, so a full disk could pass unseen.
    """
    digest = hashlib.sha256()
    failures: list[OSError] = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:

        def write(chunk: bytes) -> None:
            try:
                file.write(chunk)
            except OSError as error:
                # FAISS swallows the exception's type; it is raised again below.
                failures.append(error)
                raise
            digest.update(chunk)

        try:
            faiss.write_index(index, _faiss.PyCallbackIOWriter(write))
        except Exception as error:
            if failures:
                raise failures[0] from None
            raise IndexBuildError(f"faiss can't write {path}: {error}") from error
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


@contextmanager
def _threads(most: int | None, descriptors: int) -> Iterator[None]:
    """Build with at most `most` threads, by default one per core; OpenMP keeps the number per calling thread.

    Threads without enough to do cost more than they bring: they spin while they wait for each other.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(min(most or before, 1 + descriptors // _DESCRIPTORS_PER_THREAD))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
