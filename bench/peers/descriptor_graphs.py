"""Other HNSW graphs over the same descriptors, with the parameters that the index is built with.

hnswlib keeps float32. usearch is shown with float16, as ours, and float32. All answer with rows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aerotile.domain.values.descriptors import HnswParams

Vectors = npt.NDArray[np.float32]
Search = Callable[[Vectors], npt.NDArray[np.int64]]
"""The rows of the nearest descriptors to one of shape (d,), nearest first, on the caller's thread."""


def build_hnswlib(descriptors: Vectors, params: HnswParams) -> Any:
    """An index in memory, built on all cores."""
    import hnswlib

    count, dimension = descriptors.shape
    index = hnswlib.Index(space="l2", dim=dimension)
    index.init_index(max_elements=count, ef_construction=params.ef_construction, M=params.m)
    index.add_items(descriptors)
    return index


def load_hnswlib(path: Path, dimension: int) -> Any:
    """An index from its file, all of it in memory."""
    import hnswlib

    index = hnswlib.Index(space="l2", dim=dimension)
    index.load_index(str(path))
    return index


def hnswlib_search(index: Any, k: int) -> Search:
    """Search with the breadth that the index is set to."""
    return lambda query: index.knn_query(query, k, num_threads=1)[0][0].astype(np.int64)


def build_usearch(descriptors: Vectors, params: HnswParams, dtype: str) -> Any:
    """An index in memory, built on all cores; `dtype` is "f16" or "f32"."""
    from usearch.index import Index

    index = Index(
        ndim=descriptors.shape[1],
        metric="l2sq",
        dtype=dtype,
        connectivity=params.m,
        expansion_add=params.ef_construction,
        expansion_search=params.ef_search,
    )
    index.add(np.arange(len(descriptors), dtype=np.uint64), descriptors)
    return index


def view_usearch(path: Path) -> Any:
    """An index that stays in its file, mapped."""
    from usearch.index import Index

    return Index.restore(str(path), view=True)


def usearch_search(index: Any, k: int) -> Search:
    """Search with the breadth that the index is set to."""
    return lambda query: index.search(query, k, threads=1).keys.astype(np.int64)


def least_breadth(recall: float, recall_with: Callable[[int], float]) -> tuple[int, float]:
    """The least breadth whose recall reaches `recall`, and what it reaches.

    In steps of an eighth or two, from 10 to 512. Raises `ValueError` when none is enough.
    """
    breadth = 10
    while breadth <= 512:
        if (reached := recall_with(breadth)) >= recall:
            return breadth, reached
        breadth += max(2, breadth // 8)
    raise ValueError(f"no breadth up to 512 reaches a recall of {recall}")
