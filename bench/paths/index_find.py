"""P-9: from a descriptor to pixels, as the program comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.operations import Calls, Operation
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import Workshop

from aerotile import TileId, find_tiles

from .built_indexes import stored_index
from .read_store import reading_store

CANDIDATES = 5


@contextmanager
def _find(workshop: Workshop) -> Iterator[Operation]:
    store: Any = workshop.shared(reading_store).store
    built = workshop.shared(stored_index)
    index = built.opened()
    for query in built.wanted.queries:  # so that all tiles are mapped, as P-1 has them
        find_tiles(query, CANDIDATES, index=index, store=store)
    yield Calls(
        call=lambda query: find_tiles(query, CANDIDATES, index=index, store=store),
        arguments=built.queries().arguments,
    )
    index.close()


@contextmanager
def _search_and_reads(workshop: Workshop) -> Iterator[Operation]:
    store = workshop.shared(reading_store).store
    built = workshop.shared(stored_index)
    index = built.opened()
    search, read = index.search, store.read_tile_pixels
    known: dict[bytes, list[TileId]] = {
        query.tobytes(): [hit.tile_id for hit in search(query, CANDIDATES)] for query in built.wanted.queries
    }
    queries = built.queries()

    def arguments() -> tuple[Any, list[TileId]]:
        (query,) = queries.arguments()
        return query, known[query.tobytes()]

    def call(query: Any, tiles: list[TileId]) -> None:
        search(query, CANDIDATES)
        for tile in tiles:
            read(tile)

    yield Calls(call=call, arguments=arguments)
    index.close()


FIND = MeasuredPath(
    id="P-9",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_find),
        Subject(
            name="P-7 + 5 x P-1",
            role=Role.FLOOR,
            open=_search_and_reads,
            note="one search of ours, then five reads of ours of tiles known before; no verdicts",
        ),
    ),
    full=Effort(blocks=10, rounds=400),
    quick=Effort(blocks=5, rounds=100),
)
