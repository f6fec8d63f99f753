"""Lookups on the flight record: what each leaves, and what its payload reads back to."""

from __future__ import annotations

import gc
import hashlib
import json
import weakref
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest

from aerotile.adapters.memory.descriptor_index import MemoryDescriptorIndex
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.domain.errors import BaseUnavailableError
from aerotile.domain.flight_events import EVENT_KINDS, EventKind, FlightEvent
from aerotile.domain.lookups.recorded_index import KnownContents, RecordedHits, RecordedIndex
from aerotile.domain.ports.descriptor_index import DescriptorIndex, SupportsAreaSearch, SupportsKeyListing
from aerotile.domain.values.areas import Area
from aerotile.domain.values.corridors import Corridor
from aerotile.domain.values.descriptors import SearchHit
from aerotile.domain.values.lookups import LISTED_HITS, Lookup, PositionFix, area_facts, area_of
from aerotile.domain.values.shapes import Circle, MultiPolygon, Polygon
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
TILES = [TileId(4, x, 3, TileSource.IMPORTED) for x in range(5)]
DESCRIPTORS = np.arange(10, dtype=np.float32).reshape(5, 2) / 7
QUERY = np.array([0.3, 0.4], np.float32)
RING = ((1.1, 2.2), (3.3, 2.2), (3.3, 4.4))
HOLE = ((2.0, 2.5), (2.5, 2.5), (2.5, 3.0))


class Store:
    """Holds the tiles of the first three columns; the facts of column 3 are damaged."""

    def content_sha256(self, tile_id: TileId) -> str | None:
        if tile_id.x == 3:
            raise BaseUnavailableError("facts is damaged")
        return hashlib.sha256(bytes([tile_id.x])).hexdigest() if tile_id.x < 3 else None


@attrs.frozen
class Flight:
    index: RecordedIndex
    recorder: MemoryFlightRecorder

    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(json.dumps(dict(event.payload))) for event in self.recorder.events]


def flight(store: KnownContents | None = None, *, keep_query: bool = True) -> Flight:
    index = MemoryDescriptorIndex()
    index.rebuild(TILES, DESCRIPTORS, descriptor_model="net", built_at=NOON)
    recorder = MemoryFlightRecorder()
    return Flight(
        RecordedIndex(index, recorder, run="a1", store=lambda: store, keep_query=keep_query), recorder
    )


def test_a_lookup_leaves_query_prior_index_hits_and_contents() -> None:
    flown = flight(Store())
    hits = flown.index.search(QUERY, 5)
    (event,) = flown.recorder.events
    assert (event.kind, event.reason) == (EventKind.LOOKUP, "graph")
    assert tuple(event.payload) == EVENT_KINDS[EventKind.LOOKUP].payload_fields
    lookup = Lookup.from_payload(flown.payloads()[0])
    assert lookup.query == QUERY.tobytes()
    assert lookup.query_sha256 == hashlib.sha256(QUERY.tobytes()).hexdigest()
    assert (lookup.k, lookup.near, lookup.hit_count) == (5, None, 5)
    assert lookup.index_sha256 == flown.index.metadata().sha256
    assert list(lookup.hits) == hits
    assert lookup.contents == tuple(
        None if hit.tile_id.x >= 3 else hashlib.sha256(bytes([hit.tile_id.x])).hexdigest() for hit in hits
    )
    assert {tile_id.x for tile_id in lookup.unknown} == {3, 4}


def test_the_hits_name_the_lookup_and_the_sequence_counts_from_one() -> None:
    flown = flight()
    found = [flown.index.search(QUERY, 1), flown.index.search_within(QUERY, 1, Area.around(0, 0, 1e6))]
    assert [hits.lookup for hits in found if isinstance(hits, RecordedHits)] == ["a1-1", "a1-2"]
    assert [(p["lookup"], p["sequence"]) for p in flown.payloads()] == [("a1-1", 1), ("a1-2", 2)]


def test_a_prior_is_recorded_as_it_was_given() -> None:
    flown = flight()
    near = Area([Bbox(-80.1, -179.9, 80.3, 179.7)], [4, 3])
    flown.index.search_within(QUERY, 2, near)
    assert flown.recorder.events[0].reason == "area"
    assert Lookup.from_payload(flown.payloads()[0]).near == near


def test_a_digest_alone_has_no_query() -> None:
    flown = flight(keep_query=False)
    flown.index.search(QUERY, 1)
    lookup = Lookup.from_payload(flown.payloads()[0])
    assert lookup.query is None
    assert lookup.query_sha256 == hashlib.sha256(QUERY.tobytes()).hexdigest()


def test_without_a_store_no_content_is_claimed_and_none_is_unknown() -> None:
    flown = flight()
    flown.index.search(QUERY, 3)
    lookup = Lookup.from_payload(flown.payloads()[0])
    assert (lookup.contents, lookup.unknown) == (None, [])


def test_the_query_may_change_once_the_search_has_returned() -> None:
    flown, query = flight(), QUERY.copy()
    flown.index.search(query, 1)
    query[:] = 9
    assert Lookup.from_payload(flown.payloads()[0]).query == QUERY.tobytes()


class LaterRecorder(MemoryFlightRecorder):
    """Makes the events when they are asked for, as the recorder of a flight does."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], FlightEvent]] = []

    def record_later(self, make: Callable[[], FlightEvent]) -> None:
        self.waiting.append(make)


class OneList(MemoryDescriptorIndex):
    """Gives the hits of each search in the same list."""

    def __init__(self) -> None:
        super().__init__()
        self.hits: list[SearchHit] = []

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        self.hits[:] = super().search(descriptor, k)
        return self.hits


def test_an_event_that_is_made_later_has_the_hits_of_its_own_search() -> None:
    index, recorder = OneList(), LaterRecorder()
    index.rebuild(TILES, DESCRIPTORS, descriptor_model="net", built_at=NOON)
    recorded = RecordedIndex(index, recorder, run="a1", store=lambda: None, keep_query=True)
    found = [list(recorded.search(query, 2)) for query in (QUERY, -QUERY * 9, QUERY * 9)]
    lookups = [Lookup.from_payload(make().payload) for make in recorder.waiting]
    assert [list(lookup.hits) for lookup in lookups] == found
    assert [lookup.hit_count for lookup in lookups] == [2, 2, 2]


def test_no_more_hits_than_are_listed_wait_for_their_event() -> None:
    tiles = [TileId(12, x, 3, TileSource.IMPORTED) for x in range(LISTED_HITS + 3)]
    index, recorder = OneList(), LaterRecorder()
    index.rebuild(tiles, np.eye(len(tiles), 2, dtype=np.float32), descriptor_model="net", built_at=NOON)
    recorded = RecordedIndex(index, recorder, run="a1", store=lambda: None, keep_query=False)
    recorded.search(QUERY, len(tiles))
    last = weakref.ref(index.hits[-1])
    index.hits.clear()
    gc.collect()
    (make,) = recorder.waiting
    assert last() is None
    assert make().payload["hit_count"] == len(tiles)


def test_a_lookup_that_raises_is_not_recorded() -> None:
    flown = flight()
    with pytest.raises(ValueError, match="k"):
        flown.index.search(QUERY, 0)
    assert flown.recorder.events == ()


def test_a_search_within_no_area_is_no_search_of_the_graph() -> None:
    flown = flight()
    nowhere: Any = None
    with pytest.raises(TypeError, match="area must be of type Area"):
        flown.index.search_within(QUERY, 1, nowhere)
    assert flown.recorder.events == ()


def test_of_many_hits_the_first_are_listed_and_all_are_counted() -> None:
    tiles = [TileId(12, x, 3, TileSource.IMPORTED) for x in range(LISTED_HITS + 3)]
    index, recorder = MemoryDescriptorIndex(), MemoryFlightRecorder()
    index.rebuild(tiles, np.eye(len(tiles), 2, dtype=np.float32), descriptor_model="net", built_at=NOON)
    recorded = RecordedIndex(index, recorder, run="a1", store=lambda: None, keep_query=False)
    assert len(recorded.search(QUERY, len(tiles))) == len(tiles)
    payload = recorder.events[0].payload
    assert (len(payload["hits"]), payload["hit_count"]) == (LISTED_HITS, len(tiles))


def test_a_distance_beyond_every_float_is_recorded() -> None:
    class FarIndex(MemoryDescriptorIndex):
        def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
            return [SearchHit(TILES[0], float("inf"))]

    index, recorder = FarIndex(), MemoryFlightRecorder()
    index.rebuild(TILES, DESCRIPTORS, descriptor_model="net", built_at=NOON)
    RecordedIndex(index, recorder, run="a1", store=lambda: None, keep_query=False).search(QUERY, 1)
    payload = json.loads(json.dumps(dict(recorder.events[0].payload)))
    (hit,) = Lookup.from_payload(payload).hits
    assert hit.distance == float("inf")


def test_it_has_the_abilities_of_its_index() -> None:
    index = flight().index
    assert isinstance(index, DescriptorIndex)
    assert isinstance(index, SupportsAreaSearch)
    assert isinstance(index, SupportsKeyListing)
    assert index.dimension() == 2
    keys, _ = index.tile_keys()
    assert len(keys) == 5
    index.rebuild(TILES[:1], DESCRIPTORS[:1], descriptor_model="net", built_at=NOON)
    assert index.metadata().count == 1
    index.close()


@pytest.mark.parametrize(
    "area",
    [
        Area.around(48.1234567890123, -11.6, 5_000.5),
        Area([Circle(1, 2, 3), Bbox(1, 2, 3, 4)], [0, 22]),
        Area([Polygon([RING, HOLE])]),
        Area([MultiPolygon([Polygon([RING]), Polygon([HOLE])])], [7]),
        Area([Corridor([(11.1234567890123, 48), (12, -0.1)], 5_000.25)]),
    ],
    ids=["circle", "several", "hole", "polygons", "corridor"],
)
def test_an_area_reads_back_to_the_last_bit(area: Area) -> None:
    assert area_of(json.loads(json.dumps(area_facts(area)))) == area


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"query": "AAAA"}, "SHA-256"),
        ({"query": "!"}, "no lookup"),
        ({"hits": [["imported/1/9/9", 0.0, None]]}, "no tile id"),
        ({"hits": 3}, "no lookup"),
        ({"near": {"shapes": [{"cube": []}], "zooms": None}}, "cube"),
        ({"k": None}, "no lookup"),
    ],
)
def test_a_payload_that_is_no_lookup_is_refused(change: dict[str, Any], said: str) -> None:
    flown = flight()
    flown.index.search(QUERY, 1)
    with pytest.raises(ValueError, match=said):
        Lookup.from_payload(flown.payloads()[0] | change)


@pytest.mark.parametrize(
    "change",
    [
        {"lat": 90.5},
        {"lon": float("nan")},
        {"error_m": -1.0},
        {"error_m": float("inf")},
        {"lat": "48"},
        {"fixed_at": datetime(2026, 5, 1)},  # noqa: DTZ001 - a naive time is what is refused
        {"tile_id": "imported/4/0/3"},
    ],
)
def test_an_impossible_fix_is_refused_by_name(change: dict[str, Any]) -> None:
    fix = {"tile_id": TILES[0], "lat": 1.0, "lon": 2.0, "fixed_at": NOON, "error_m": 3.0}
    with pytest.raises(ValueError, match=next(iter(change))):
        PositionFix(**fix | change)
