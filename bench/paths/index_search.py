"""P-7: searching the descriptor index, beside FAISS itself and other graphs, and how it grows.

Everybody searches with the least breadth (efSearch) that reaches the same recall; what was reached stands
beside the times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import faiss
import numpy as np
from harness.dataset import Cycle
from harness.operations import Calls, Operation
from harness.subjects import Effort, GrowthCurve, MeasuredPath, Role, Subject
from harness.workshop import Workshop
from peers import descriptor_graphs as graphs

from .built_indexes import (
    PARAMS,
    grown_index,
    hnswlib_index,
    one_thread,
    searched_index,
    usearch_f16_index,
)
from .descriptor_sets import NEIGHBOURS

RECALL = 0.995


@contextmanager
def breadth_of_ours(workshop: Workshop) -> Iterator[tuple[int, float]]:
    """The least breadth with which ours reaches the recall of the target, and what it reaches."""
    built = workshop.shared(searched_index)

    def recall_with(breadth: int) -> float:
        index = built.opened(breadth)
        recall = built.recall_of(index)
        index.close()
        return recall

    yield graphs.least_breadth(RECALL, recall_with)


@contextmanager
def _search(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)
    breadth, recall = workshop.shared(breadth_of_ours)
    index = built.opened(breadth)
    yield Calls(
        call=lambda query: index.search(query, NEIGHBOURS),
        arguments=built.queries().arguments,
        facts=lambda: {"recall@10": recall, "efSearch": breadth},
    )
    index.close()


@contextmanager
def _search_by_default(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)
    index = built.opened()
    recall = built.recall_of(index)
    yield Calls(
        call=lambda query: index.search(query, NEIGHBOURS),
        arguments=built.queries().arguments,
        facts=lambda: {"recall@10": recall, "efSearch": PARAMS.ef_search},
    )
    index.close()


@contextmanager
def _bare_faiss(workshop: Workshop) -> Iterator[Operation]:
    built = workshop.shared(searched_index)
    breadth, recall = workshop.shared(breadth_of_ours)
    index: Any = faiss.read_index(str(built.file))
    faiss.downcast_index(index.index).hnsw.efSearch = breadth
    queries = Cycle([query[np.newaxis] for query in built.wanted.queries])
    with one_thread():
        yield Calls(
            call=lambda query: index.search(query, NEIGHBOURS),
            arguments=queries.arguments,
            facts=lambda: {"recall@10": recall, "efSearch": breadth},
        )


@contextmanager
def usearch_f32_index(workshop: Workshop) -> Iterator[Any]:
    """usearch's graph of the same descriptors, kept as they are."""
    yield graphs.build_usearch(workshop.shared(searched_index).wanted.descriptors, PARAMS, "f32")


def _searching(
    make: Callable[[Workshop], AbstractContextManager[Any]],
    search: Callable[[Any, int], graphs.Search],
    set_breadth: Callable[[Any, int], None],
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        built = workshop.shared(searched_index)
        index = workshop.shared(make)
        ask = search(index, NEIGHBOURS)

        def recall_with(breadth: int) -> float:
            set_breadth(index, breadth)
            return built.recall_of_rows(ask)

        breadth, recall = graphs.least_breadth(RECALL, recall_with)
        yield Calls(
            call=ask,
            arguments=built.queries().arguments,
            facts=lambda: {"recall@10": recall, "efSearch": breadth},
        )

    return opened


def _set_ef(index: Any, breadth: int) -> None:
    index.set_ef(breadth)


def _set_expansion(index: Any, breadth: int) -> None:
    index.expansion_search = breadth


_NO_TILES = "answers with rows, not tiles; no check of the query"
SEARCH = MeasuredPath(
    id="P-7",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_search),
        Subject(
            name="bare faiss",
            role=Role.FLOOR,
            open=_bare_faiss,
            note="same file in memory, breadth and kernels, one OpenMP thread; answers with keys, not tiles",
        ),
        Subject(
            name="Aerotile, its own breadth",
            role=Role.REFERENCE,
            open=_search_by_default,
            note="the default efSearch, which real descriptors need; see index_recall.py",
        ),
        Subject(
            name="hnswlib",
            role=Role.PEER,
            open=_searching(hnswlib_index, graphs.hnswlib_search, _set_ef),
            needs=("hnswlib",),
            note=_NO_TILES,
        ),
        Subject(
            name="usearch f16",
            role=Role.PEER,
            open=_searching(usearch_f16_index, graphs.usearch_search, _set_expansion),
            needs=("usearch",),
            note=_NO_TILES,
        ),
        Subject(
            name="usearch f32",
            role=Role.PEER,
            open=_searching(usearch_f32_index, graphs.usearch_search, _set_expansion),
            needs=("usearch",),
            note=_NO_TILES,
        ),
    ),
    full=Effort(blocks=10, rounds=400),
    quick=Effort(blocks=5, rounds=100),
)


@contextmanager
def _grown(workshop: Workshop, size: int) -> Iterator[Operation]:
    built = workshop.shared(grown_index(size))
    index = built.opened()
    recall = built.recall_of(index)
    yield Calls(
        call=lambda query: index.search(query, NEIGHBOURS),
        arguments=built.queries().arguments,
        facts=lambda: {"recall@10": recall},
    )
    index.close()


GROWTH = GrowthCurve(
    id="P-7",
    of="descriptors",
    sizes=(1_000, 10_000, 100_000, 1_000_000),
    open=_grown,
)
