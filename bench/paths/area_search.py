"""P-15: searching exactly within an area, beside a scan of its rows in C and graphs that are held to it.

The areas are rectangles of neighbouring tiles anywhere in the base. A graph is held to an area by a filter on
its rows, or is asked for many neighbours of which those in the area are kept, each at its own recall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import faiss
import numpy as np
import numpy.typing as npt
from harness.dataset import Cycle, tile_id
from harness.floors import running
from harness.operations import Calls, Operation, Samples
from harness.subjects import Effort, GrowthCurve, MeasuredPath, Role, Subject
from harness.workshop import Workshop

from aerotile import Area, Bbox, TileId
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.faiss.area_search import AreaSearch
from aerotile.adapters.faiss.mapped_index import open_areas
from aerotile.adapters.faiss.place_order import BlockLayout, RowsFile
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key

from .built_indexes import (
    BuiltIndex,
    grown_index,
    hnswlib_index,
    one_thread,
    searched_index,
    usearch_f16_index,
)
from .descriptor_sets import NEIGHBOURS, Vectors

SMALL, LARGE = 1_024, 20_000
_COLUMNS = 1_000
"""Of the block of tiles that the descriptors stand for; see `dataset.tile_id`."""
_AREAS = 256
_FAR_BEHIND = Effort(blocks=10, rounds=60)
_OF_THE_WHOLE = 1_000
"""Neighbours in the whole index of which those in the area are kept."""


@attrs.frozen(eq=False)
class Asked:
    """A descriptor, the area that it is searched in, and the rows of that area."""

    query: Vectors
    area: Area
    rows: npt.NDArray[np.int64]

    def nearest(self, descriptors: Vectors) -> set[int]:
        """The rows of the exact neighbours; of unit length, so they have the greatest products."""
        products = descriptors[self.rows] @ self.query
        rows = self.rows[np.argsort(-products)[: 8 * NEIGHBOURS]]
        distances = np.square(descriptors[rows] - self.query).sum(axis=1)
        return set(rows[np.argsort(distances)[:NEIGHBOURS]].tolist())


def asked_within(descriptors: Vectors, wanted: int) -> list[Asked]:
    """Rectangles of about `wanted` tiles, each with a query that belongs to one of its tiles."""
    count = len(descriptors)
    lines = max(1, count // _COLUMNS)
    height = min(lines, round(wanted**0.5))
    width = min(_COLUMNS, -(-wanted // height))
    chance = np.random.default_rng(15)
    asked = []
    for _ in range(_AREAS):
        left, top = int(chance.integers(0, _COLUMNS - width + 1)), int(chance.integers(0, lines - height + 1))
        corner, opposite = (
            tile_id(y * _COLUMNS + x).centre for x, y in ((left, top), (left + width - 1, top + height - 1))
        )
        box = Bbox(opposite[0], corner[1], corner[0], opposite[1])
        rows = (
            np.arange(top, top + height)[:, np.newaxis] * _COLUMNS + np.arange(left, left + width)
        ).ravel()
        seen = descriptors[chance.choice(rows)]
        query = seen + chance.standard_normal(len(seen)).astype(np.float32) * np.float32(0.02)
        asked.append(Asked(query, Area((box,)), rows))
    return asked


def recall_of(asked: list[Asked], descriptors: Vectors, search: Callable[[Asked], set[int]]) -> float:
    found = [len(search(one) & one.nearest(descriptors)) for one in asked]
    return sum(found) / (NEIGHBOURS * len(asked))


def row_of(tile: TileId) -> int:
    first = tile_id(0)
    return (tile.y - first.y) * _COLUMNS + tile.x - first.x


def _ours(index: FaissDescriptorIndex, built: BuiltIndex, wanted: int) -> Calls:
    asked = asked_within(built.wanted.descriptors, wanted)

    def rows_of(one: Asked) -> set[int]:
        hits = index.search_within(one.query, NEIGHBOURS, one.area)
        return {row_of(hit.tile_id) for hit in hits}

    stored = built.wanted.descriptors.astype(np.float16).astype(np.float32)
    recall = recall_of(asked, stored, rows_of)  # and every block has been hashed then
    return Calls(
        call=lambda one: index.search_within(one.query, NEIGHBOURS, one.area),
        arguments=Cycle(asked).arguments,
        facts=lambda: {"recall@10": recall},
    )


def _open_ours(wanted: int) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        built = workshop.shared(searched_index)
        index = built.opened()
        yield _ours(index, built, wanted)
        index.close()

    return opened


def _open_floor(wanted: int) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Samples]:
        built = workshop.shared(searched_index)
        folder = built.file.parent
        metadata = built.opened().metadata()
        rows = RowsFile.decode((folder / "tiles.rows").read_bytes())
        layout = BlockLayout(metadata.count, metadata.dimension, metadata.storage, metadata.metric)
        questions = workshop.path(f"area-questions-{wanted}")
        write_questions(questions, asked_within(built.wanted.descriptors, wanted), rows.keys, layout)
        program = workshop.floors.program("scan_halves")
        arguments = (folder / "tiles.descriptors", questions, metadata.dimension, NEIGHBOURS)
        with running(program, *arguments) as floor:
            yield floor

    return opened


def write_questions(path: Path, asked: list[Asked], keys: npt.NDArray[np.int64], layout: BlockLayout) -> None:
    """Write what `floors/scan_halves.c` is asked; `keys` are those of the rows as they lie."""
    variants = VariantTable()
    every_row = np.unique(np.concatenate([one.rows for one in asked]))
    key_of = np.array([encode_tile_key(tile_id(row), variants) for row in every_row.tolist()])
    firsts = np.array([layout.block(number)[0] for number in range(layout.blocks)])
    with path.open("wb") as file:
        for one in asked:
            wanted = key_of[np.searchsorted(every_row, one.rows)]
            # In the order in which they lie: a scan that jumps about would be no floor.
            block, place = np.divmod(np.searchsorted(keys, np.sort(wanted)), layout.rows_per_block)
            begins = (firsts[block] + place * layout.row_bytes).astype("<i8")
            file.write(np.int64(len(begins)).tobytes() + one.query.tobytes() + begins.tobytes())


def bare_graph(built: BuiltIndex) -> tuple[Any, npt.NDArray[np.int64]]:
    """FAISS's own graph, and its node of each row."""
    whole: Any = faiss.read_index(str(built.file))
    keys = faiss.vector_to_array(whole.id_map)
    variants = VariantTable()
    wanted = [encode_tile_key(tile_id(row), variants) for row in range(len(keys))]
    graph = faiss.downcast_index(whole.index)
    graph.referenced_objects = [whole]  # which is freed otherwise, and the graph with it
    return graph, np.argsort(keys)[np.searchsorted(np.sort(keys), wanted)]


def _open_graph(
    wanted: int, search: Callable[[Any, Asked], set[int]]
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        built = workshop.shared(searched_index)
        graph, node_of = bare_graph(built)
        asked = [
            attrs.evolve(one, rows=node_of[one.rows])
            for one in asked_within(built.wanted.descriptors, wanted)
        ]
        by_node = np.empty_like(built.wanted.descriptors)
        by_node[node_of] = built.wanted.descriptors
        with one_thread():
            recall = recall_of(asked[:64], by_node, lambda one: search(graph, one))
            yield Calls(
                call=lambda one: search(graph, one),
                arguments=Cycle(asked).arguments,
                facts=lambda: {"recall@10": recall},
            )

    return opened


def filtered(graph: Any, one: Asked) -> set[int]:
    """The graph, walked as ever, of which nodes in the area alone are answers."""
    parameters = faiss.SearchParametersHNSW(efSearch=64, sel=faiss.IDSelectorBatch(one.rows))
    found = graph.search(one.query[np.newaxis], NEIGHBOURS, params=parameters)[1][0]
    return set(found[found >= 0].tolist())


def whole_then_kept(graph: Any, one: Asked) -> set[int]:
    parameters = faiss.SearchParametersHNSW(efSearch=_OF_THE_WHOLE)
    found = graph.search(one.query[np.newaxis], _OF_THE_WHOLE, params=parameters)[1][0]
    return set(found[np.isin(found, one.rows)][:NEIGHBOURS].tolist())


def _open_first_use(wanted: int) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """Ours, of which no block has been used: each is populated and hashed by the search that needs it."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        built = workshop.shared(searched_index)
        index = built.opened()
        metadata = index.metadata()
        index.close()
        asked = Cycle(asked_within(built.wanted.descriptors, wanted))

        def fresh() -> tuple[AreaSearch, Asked]:
            areas = open_areas(built.file.parent, metadata)
            assert areas is not None
            return areas, *asked.arguments()

        yield Calls(call=lambda areas, one: areas.nearest(one.query, NEIGHBOURS, one.area), arguments=fresh)

    return opened


def _open_peer(
    wanted: int,
    make: Callable[[Workshop], AbstractContextManager[Any]],
    search: Callable[[Any, Asked], set[int]],
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        built = workshop.shared(searched_index)
        ask = partial(search, workshop.shared(make))
        asked = asked_within(built.wanted.descriptors, wanted)
        recall = recall_of(asked[:64], built.wanted.descriptors, ask)
        yield Calls(call=ask, arguments=Cycle(asked).arguments, facts=lambda: {"recall@10": recall})

    return opened


def hnswlib_filtered(index: Any, one: Asked) -> set[int]:
    held = frozenset(one.rows.tolist())
    index.set_ef(64)
    try:
        found = index.knn_query(one.query, NEIGHBOURS, num_threads=1, filter=held.__contains__)[0][0]
    except RuntimeError:  # fewer than ten of the nodes that it looked at lie in the area
        return set()
    return set(found.tolist())


def usearch_kept(index: Any, one: Asked) -> set[int]:
    found = index.search(one.query, _OF_THE_WHOLE, threads=1).keys.astype(np.int64)
    return set(found[np.isin(found, one.rows)][:NEIGHBOURS].tolist())


def _path(name: str, wanted: int) -> MeasuredPath:
    return MeasuredPath(
        id=name,
        subjects=(
            Subject(name="Aerotile", role=Role.OURS, open=_open_ours(wanted)),
            Subject(
                name="C scan",
                role=Role.FLOOR,
                open=_open_floor(wanted),
                note="the same mapped rows, known beforehand, in their order; no object is made",
            ),
            Subject(
                name="faiss id selector",
                role=Role.PEER,
                open=_open_graph(wanted, filtered),
                note="the graph with a filter, efSearch 64; misses most of an area",
            ),
            Subject(
                name="whole graph, then filter",
                role=Role.PEER,
                open=_open_graph(wanted, whole_then_kept),
                note=f"the {_OF_THE_WHOLE} nearest of the base, of which those in the area are kept",
                at_most=_FAR_BEHIND,
            ),
            Subject(
                name="hnswlib filter",
                role=Role.PEER,
                open=_open_peer(wanted, hnswlib_index, hnswlib_filtered),
                needs=("hnswlib",),
                note="ef 64; asks Python for each node, whose set is made in the call, as our selection is; "
                "finds nothing where fewer than ten of the nodes looked at lie in the area",
                at_most=_FAR_BEHIND,
            ),
            Subject(
                name="usearch, then filter",
                role=Role.PEER,
                open=_open_peer(wanted, usearch_f16_index, usearch_kept),
                needs=("usearch",),
                note=f"its Python has no filter: of the {_OF_THE_WHOLE} nearest those in the area are kept",
                at_most=_FAR_BEHIND,
            ),
            Subject(
                name="Aerotile, first use",
                role=Role.REFERENCE,
                open=_open_first_use(wanted),
                note="of blocks whose pages are in the page cache: they are hashed by the search",
                at_most=Effort(blocks=10, rounds=10),
            ),
        ),
        full=Effort(blocks=10, rounds=300),
        quick=Effort(blocks=3, rounds=100),
    )


SMALL_AREA = _path("P-15 1k", SMALL)
LARGE_AREA = _path("P-15 20k", LARGE)


@contextmanager
def _grown(workshop: Workshop, count: int) -> Iterator[Operation]:
    built = workshop.shared(grown_index(count))
    index = built.opened()
    yield _ours(index, built, min(SMALL, count // 2))
    index.close()


GROWTH = GrowthCurve(
    id="P-15",
    of="descriptors, 1,024 of them in the area",
    sizes=(1_000, 10_000, 100_000, 1_000_000),
    open=_grown,
    rounds=2_000,
    quick_rounds=300,
)
