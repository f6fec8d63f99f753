"""The contract of `SupportsAreaSearch`, over every implementation, with brute force as judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.memory.descriptor_index import MemoryDescriptorIndex
from aerotile.domain.errors import IndexUnavailableError
from aerotile.domain.ports.descriptor_index import SupportsAreaSearch
from aerotile.domain.values.areas import Area
from aerotile.domain.values.descriptors import DescriptorMetric, HnswParams, SearchHit, VectorStorage
from aerotile.domain.values.shapes import Circle, Polygon
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource

Vectors = npt.NDArray[np.float32]
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
VARIANTS: list[tuple[TileSource, UUID | None]] = [
    (TileSource.SATELLITE_PROVIDER, None),
    (TileSource.IMPORTED, None),
    (TileSource.ONBOARD, FLIGHT),
]
DIMENSION = 8
EVERYWHERE = Area((Bbox(-90, -180, 90, 180),))


def tiles() -> list[TileId]:
    """Some of every corner of the world and of every zoom, in no order."""
    chosen = np.random.default_rng(3)
    found: dict[TileId, None] = {}
    while len(found) < 700:
        zoom_level = int(chosen.integers(0, 12))
        x, y = (int(number) for number in chosen.integers(0, 1 << zoom_level, 2))
        found[TileId(zoom_level, x, y, *VARIANTS[len(found) % 3])] = None
    return list(found)


def vectors(count: int) -> Vectors:
    """Numbers that float16 holds, few enough that distances are equal now and then."""
    return np.asarray(np.random.default_rng(4).integers(-2, 3, (count, DIMENSION)), np.float32)


TILES = tiles()
VECTORS = vectors(len(TILES))
KEYS = [encode_tile_key(tile_id, VariantTable.naming(TILES)) for tile_id in TILES]


def box_around(a: tuple[float, float], b: tuple[float, float]) -> Bbox:
    (west, east), (south, north) = sorted((a[0], b[0])), sorted((a[1], b[1]))
    return Bbox(south, west, north, east)


lats, lons = st.floats(-90, 90), st.floats(-180, 180) | st.sampled_from([-180.0, 0.0, 180.0])
points = st.tuples(lons, lats)
shapes = st.one_of(
    st.builds(Circle, lats, lons, st.floats(0, 9_000_000)),
    st.builds(
        lambda a, b: Bbox(min(a[1], b[1]), min(a[0], b[0]), max(a[1], b[1]), max(a[0], b[0])), points, points
    ),
    st.lists(points, min_size=3, max_size=6, unique=True).map(lambda ring: Polygon([ring])),
)
areas = st.builds(
    Area,
    st.lists(shapes, min_size=1, max_size=3),
    st.none() | st.sets(st.integers(0, 12), min_size=1),
)
queries = st.lists(st.integers(-2, 2), min_size=DIMENSION, max_size=DIMENSION).map(
    lambda numbers: np.array(numbers, np.float32)
)


def judged(metric: DescriptorMetric, query: Vectors, k: int, area: Area) -> list[SearchHit]:
    if metric is DescriptorMetric.L2:
        distances = np.square(VECTORS - query).sum(axis=1)
        far = distances
    else:
        distances = VECTORS @ query
        far = -distances
    held = [row for row, t in enumerate(TILES) if area.touches(t.zoom_level, t.x, t.y)]
    held.sort(key=lambda row: (far[row], KEYS[row]))
    return [SearchHit(TILES[row], float(distances[row])) for row in held[:k]]


@pytest.fixture(scope="module", params=["memory", "faiss float16", "faiss float32"])
def make(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def build(metric: DescriptorMetric, tile_ids: list[TileId], descriptors: Vectors) -> SupportsAreaSearch:
        params = HnswParams(metric=metric)
        index: Any
        if request.param == "memory":
            index = MemoryDescriptorIndex(params)
        else:
            storage = VectorStorage(request.param.removeprefix("faiss "))
            index = FaissDescriptorIndex(tmp_path_factory.mktemp("index"), params=params, storage=storage)
        index.rebuild(
            tile_ids,
            descriptors,
            descriptor_model="a-network",
            built_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
        )
        made.append(index)
        return index  # type: ignore[no-any-return] # whichever it is

    yield build
    for index in made:
        index.close()


@pytest.fixture(scope="module", params=list(DescriptorMetric))
def metric(request: pytest.FixtureRequest) -> DescriptorMetric:
    return DescriptorMetric(request.param)


@pytest.fixture(scope="module")
def index(make: Callable[..., SupportsAreaSearch], metric: DescriptorMetric) -> SupportsAreaSearch:
    return make(metric, TILES, VECTORS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(area=areas, query=queries, k=st.integers(1, 40))
def test_an_area_is_answered_as_by_comparing_with_every_descriptor_in_it(
    index: SupportsAreaSearch, metric: DescriptorMetric, area: Area, query: Vectors, k: int
) -> None:
    assert index.search_within(query, k, area) == judged(metric, query, k, area)


def test_the_whole_world_holds_every_tile(index: SupportsAreaSearch, metric: DescriptorMetric) -> None:
    query = np.ones(DIMENSION, np.float32)
    assert index.search_within(query, 10_000, EVERYWHERE) == judged(metric, query, 10_000, EVERYWHERE)


def test_an_area_without_descriptors_answers_with_nothing(index: SupportsAreaSearch) -> None:
    nowhere = Area((Bbox(0, 0, 1, 1),), [22])
    assert index.search_within(np.ones(DIMENSION, np.float32), 5, nowhere) == []


def test_it_is_an_index_that_searches_within_areas(index: SupportsAreaSearch) -> None:
    assert isinstance(index, SupportsAreaSearch)


@pytest.mark.parametrize("k", [0, -1, True, 1.5])
def test_an_impossible_number_of_tiles_is_refused(index: SupportsAreaSearch, k: Any) -> None:
    with pytest.raises(ValueError, match="k must be"):
        index.search_within(np.ones(DIMENSION, np.float32), k, EVERYWHERE)


@pytest.mark.parametrize(
    "query",
    [np.ones(DIMENSION + 1, np.float32), np.ones(DIMENSION), np.full(DIMENSION, np.nan, np.float32), [1.0]],
)
def test_a_query_of_the_wrong_kind_is_refused(index: SupportsAreaSearch, query: Any) -> None:
    with pytest.raises(ValueError, match="descriptor must"):
        index.search_within(query, 5, EVERYWHERE)


def test_a_closed_index_says_so(make: Callable[..., Any], metric: DescriptorMetric) -> None:
    index = make(metric, TILES[:5], VECTORS[:5])
    index.close()
    with pytest.raises(IndexUnavailableError):
        index.search_within(np.ones(DIMENSION, np.float32), 5, EVERYWHERE)


def test_one_tile_is_an_index_too(make: Callable[..., Any], metric: DescriptorMetric) -> None:
    index = make(metric, TILES[:1], VECTORS[:1])
    assert [hit.tile_id for hit in index.search_within(VECTORS[0], 3, EVERYWHERE)] == TILES[:1]
