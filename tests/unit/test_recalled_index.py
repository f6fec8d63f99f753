"""Searches that leave recalled tiles out, and still find as many others as there are."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone

import numpy as np
import pytest

from aerotile.adapters.memory.descriptor_index import MemoryDescriptorIndex
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.recall_source import MemoryRecallSource
from aerotile.domain.errors import BaseUnavailableError
from aerotile.domain.flight_events import EventKind
from aerotile.domain.lookups import recalled_index
from aerotile.domain.lookups.recalled_index import RecalledIndex, TileFacts
from aerotile.domain.store.recall_guard import RecallGuard
from aerotile.domain.values.areas import Area
from aerotile.domain.values.recall_list import RecallList
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
WORLD = Area([Bbox(-85.0, -180.0, 85.0, 180.0)])
COUNT = 200
TILES = [TileId(8, x, 3, TileSource.IMPORTED) for x in range(COUNT)]
QUERY = np.zeros(1, np.float32)  # tile x is at distance x


def digest(x: int) -> str:
    return hashlib.sha256(bytes([x])).hexdigest()


class Store:
    """Knows every tile; the facts of tile 5 are damaged."""

    def captured_us(self, tile_id: TileId) -> int | None:
        return tile_id.x

    def content_sha256(self, tile_id: TileId) -> str | None:
        if tile_id.x == 5:
            raise BaseUnavailableError("facts is damaged")
        return digest(tile_id.x)


class Flight:
    def __init__(self, store: TileFacts | None = None) -> None:
        inner = MemoryDescriptorIndex()
        descriptors = np.arange(COUNT, dtype=np.float32).reshape(-1, 1)
        inner.rebuild(TILES, descriptors, descriptor_model="net", built_at=NOON)
        self.source, self.recorder = MemoryRecallSource(), MemoryFlightRecorder()
        guard = RecallGuard(self.source, self.recorder.record)
        self.index = RecalledIndex(inner, guard, store=lambda: store)

    def recall(self, number: int, *columns: int) -> None:
        self.source.put(RecallList(number=number, reason="x", digests=map(digest, columns)))

    def found(self, k: int) -> tuple[list[int], list[int]]:
        """The columns that both searches find."""
        without = [hit.tile_id.x for hit in self.index.search(QUERY, k)]
        within = [hit.tile_id.x for hit in self.index.search_within(QUERY, k, WORLD)]
        return without, within


@pytest.mark.parametrize("recalled", [[0], [1, 3], list(range(10)), list(range(COUNT))])
def test_the_next_search_names_none_and_as_many_others_as_there_are(recalled: list[int]) -> None:
    flight = Flight(Store())
    assert flight.found(3) == ([0, 1, 2], [0, 1, 2])
    assert flight.recorder.events == ()
    flight.recall(7, *recalled)
    left = [x for x in range(COUNT) if x not in recalled or x == 5][:3]
    assert flight.found(3) == (left, left)
    events = [event for event in flight.recorder.events if event.kind is EventKind.RECALLED]
    assert [(event.reason, event.payload["number"]) for event in events] == [("lookup", 7)] * 2
    assert events[0].payload["tiles"][0] == str(TILES[recalled[0]])


def test_a_search_that_meets_no_recalled_tile_asks_once_and_records_nothing() -> None:
    flight = Flight(Store())
    flight.recall(7, 100)
    assert flight.found(4) == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert [event.kind for event in flight.recorder.events] == [EventKind.RECALL_IN_FORCE]


def test_the_graph_is_asked_for_so_many_hits_at_most_and_an_area_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recalled_index, "MOST_GRAPH_HITS", 20)
    flight = Flight(Store())
    flight.recall(7, *(x for x in range(50) if x != 5), *range(52, COUNT))
    assert flight.found(3) == ([5], [5, 50, 51])
    assert flight.found(30)[0] == [5]


def test_without_a_store_tiles_are_recalled_by_area() -> None:
    flight = Flight(None)
    flight.source.put(
        RecallList(number=1, reason="x", digests=[digest(0)], areas=(Area([TILES[1].bbox], [8]),))
    )
    assert flight.found(2) == ([3, 4], [3, 4])  # tile 1 and both that it touches


def test_an_impossible_number_of_hits_is_refused_as_by_the_index_itself() -> None:
    flight = Flight(Store())
    flight.recall(7, 0)
    for k in (0, -1, 1.5):
        with pytest.raises(ValueError, match="k"):
            flight.index.search(QUERY, k)  # type: ignore[arg-type] # that is the test
        with pytest.raises(ValueError, match="k"):
            flight.index.search_within(QUERY, k, WORLD)  # type: ignore[arg-type] # that is the test


def test_everything_else_is_the_index_s_own() -> None:
    flight = Flight(Store())
    keys, variants = flight.index.tile_keys()
    assert (len(keys), flight.index.dimension(), flight.index.metadata().count) == (COUNT, 1, COUNT)
    assert variants.flights == ()
    rebuilt = flight.index.rebuild(
        TILES[:2], np.ones((2, 4), np.float32), descriptor_model="net", built_at=NOON
    )
    assert (rebuilt.count, flight.index.dimension()) == (2, 4)
    flight.index.close()
