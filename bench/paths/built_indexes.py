"""The indexes that P-7, P-8 and P-9 search and open, and other graphs of the same descriptors.

All are over clustered descriptors (see `descriptor_sets`), with graphs of the parameters that the program
comes with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import faiss
from harness.dataset import Cycle, tile_id
from harness.workshop import Workshop
from peers import descriptor_graphs as graphs

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.values.descriptors import HnswParams

from .descriptor_sets import NEIGHBOURS, DescriptorSet, clustered

PARAMS = HnswParams()
QUERIES = 2000
_GROWTH_DIMENSION = 128
"""Small enough that the graph of a million is built in minutes."""


@attrs.frozen(kw_only=True, eq=False)
class BuiltIndex:
    """Descriptors in an index of ours, whose row i stands for `tile_id(i)`."""

    wanted: DescriptorSet
    root: Path

    @property
    def file(self) -> Path:
        """The index of the one generation."""
        return self.root / "generations" / "000001" / "tiles.index"

    def opened(self, breadth: int = PARAMS.ef_search) -> FaissDescriptorIndex:
        """The index as the program opens it, searched with `breadth`."""
        return FaissDescriptorIndex(self.root, params=attrs.evolve(PARAMS, ef_search=breadth))

    def queries(self) -> Cycle:
        """The queries, for one subject."""
        return Cycle(list(self.wanted.queries))

    def recall_of_rows(self, search: graphs.Search) -> float:
        """recall@10 of what answers with rows."""
        return self.wanted.recall([search(query).tolist() for query in self.wanted.queries])

    def recall_of(self, index: FaissDescriptorIndex) -> float:
        """recall@10 of ours."""
        rows = {tile_id(row): row for row in range(len(self.wanted.descriptors))}
        return self.wanted.recall(
            [[rows[hit.tile_id] for hit in index.search(query, NEIGHBOURS)] for query in self.wanted.queries]
        )


def build_index(root: Path, wanted: DescriptorSet) -> BuiltIndex:
    tiles = [tile_id(row) for row in range(len(wanted.descriptors))]
    index = FaissDescriptorIndex(root)
    index.rebuild(tiles, wanted.descriptors, descriptor_model="bench", built_at=datetime.now(timezone.utc))
    index.close()
    return BuiltIndex(wanted=wanted, root=root)


@contextmanager
def searched_index(workshop: Workshop) -> Iterator[BuiltIndex]:
    """The index that P-7 searches and P-8 opens."""
    wanted = clustered(workshop.sizes.descriptors, workshop.sizes.dimension, QUERIES)
    yield build_index(workshop.path("index-searched"), wanted)


@contextmanager
def stored_index(workshop: Workshop) -> Iterator[BuiltIndex]:
    """The index of P-9, whose tiles are those of the store that reads are measured on."""
    wanted = clustered(workshop.sizes.tiles, workshop.sizes.dimension, QUERIES)
    yield build_index(workshop.path("index-stored"), wanted)


@cache
def grown_index(size: int) -> Callable[[Workshop], AbstractContextManager[BuiltIndex]]:
    """What makes the index of a size on the growth curves; one for each size."""

    @contextmanager
    def made(workshop: Workshop) -> Iterator[BuiltIndex]:
        yield build_index(workshop.path(f"index-grown-{size}"), clustered(size, _GROWTH_DIMENSION, QUERIES))

    return made


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS's best setting for single queries; OpenMP keeps it per thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def hnswlib_index(workshop: Workshop) -> Iterator[Any]:
    """hnswlib's graph of the same descriptors."""
    yield graphs.build_hnswlib(workshop.shared(searched_index).wanted.descriptors, PARAMS)


@contextmanager
def usearch_f16_index(workshop: Workshop) -> Iterator[Any]:
    """usearch's graph of the same descriptors, kept as ours are."""
    yield graphs.build_usearch(workshop.shared(searched_index).wanted.descriptors, PARAMS, "f16")
