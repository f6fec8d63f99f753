"""The contract of `SupportsAreaSearch`, with brute force as judge."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any, Protocol
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ...domain.errors import IndexUnavailableError
from ...domain.ports.descriptor_index import DescriptorIndex, SupportsAreaSearch
from ...domain.values.areas import Area
from ...domain.values.descriptors import DescriptorMetric, HnswParams, SearchHit
from ...domain.values.shapes import Circle, Polygon
from ...domain.values.tile_grid import Bbox
from ...domain.values.tile_key import VariantTable, encode_tile_key
from ...domain.values.tiles import TileId, TileSource
from .generated_examples import FROM_A_FACTORY

Vectors = npt.NDArray[np.float32]
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
VARIANTS: list[tuple[TileSource, UUID | None]] = [
    (TileSource.SATELLITE_PROVIDER, None),
    (TileSource.IMPORTED, None),
    (TileSource.ONBOARD, FLIGHT),
]
DIMENSION = 8
COUNT = 700  # three blocks of the place-ordered files
EVERYWHERE = Area((Bbox(-90, -180, 90, 180),))


class AreaSearchedIndex(DescriptorIndex, SupportsAreaSearch, Protocol):
    """An index that searches within areas."""


MakeAreaSearch = Callable[[HnswParams], AreaSearchedIndex]


def _tiles() -> list[TileId]:
    """Some of every corner of the world and of twelve zooms, in no order."""
    chosen = np.random.default_rng(3)
    found: dict[TileId, None] = {}
    while len(found) < COUNT:
        zoom_level = int(chosen.integers(0, 12))
        x, y = (int(number) for number in chosen.integers(0, 1 << zoom_level, 2))
        found[TileId(zoom_level, x, y, *VARIANTS[len(found) % 3])] = None
    return list(found)


TILES = _tiles()
# Numbers that float16 holds, few enough that distances are equal now and then.
VECTORS = np.asarray(np.random.default_rng(4).integers(-2, 3, (COUNT, DIMENSION)), np.float32)

_lats, _lons = st.floats(-90, 90), st.floats(-180, 180) | st.sampled_from([-180.0, 0.0, 180.0])
_points = st.tuples(_lons, _lats)
_shapes = st.one_of(
    st.builds(Circle, _lats, _lons, st.floats(0, 9_000_000)),
    st.builds(
        lambda a, b: Bbox(min(a[1], b[1]), min(a[0], b[0]), max(a[1], b[1]), max(a[0], b[0])),
        _points,
        _points,
    ),
    st.lists(_points, min_size=3, max_size=6, unique=True).map(lambda ring: Polygon([ring])),
)
_areas = st.builds(
    Area,
    st.lists(_shapes, min_size=1, max_size=3),
    st.none() | st.sets(st.integers(0, 12), min_size=1),
)
_queries = st.lists(st.integers(-2, 2), min_size=DIMENSION, max_size=DIMENSION).map(
    lambda numbers: np.array(numbers, np.float32)
)


@attrs.frozen(eq=False)
class BruteForce:
    """Compares with every descriptor of an area, tile by tile."""

    metric: DescriptorMetric
    tile_ids: list[TileId]
    descriptors: Vectors

    def nearest(self, query: Vectors, k: int, area: Area) -> list[SearchHit]:
        """Each tile by its best descriptor, nearest first, among equals the lower key first."""
        sign = 1 if self.metric is DescriptorMetric.L2 else -1
        variants = VariantTable.naming(self.tile_ids)
        best: dict[TileId, float] = {}
        for tile_id, descriptor in zip(self.tile_ids, self.descriptors, strict=True):
            if not area.touches(tile_id.zoom_level, tile_id.x, tile_id.y):
                continue
            far = float(np.square(descriptor - query).sum() if sign == 1 else -(descriptor @ query))
            best[tile_id] = min(far, best.get(tile_id, far))
        ordered = sorted(best, key=lambda tile_id: (best[tile_id], encode_tile_key(tile_id, variants)))
        return [SearchHit(tile_id, sign * best[tile_id]) for tile_id in ordered[:k]]


@attrs.frozen(eq=False)
class Judged:
    """An index, and the judge over what it was built from."""

    index: AreaSearchedIndex
    judge: BruteForce

    def agree(self, query: Vectors, k: int, area: Area) -> None:
        assert self.index.search_within(query, k, area) == self.judge.nearest(query, k, area)


class AreaSearchContract:
    """Holds an index that a factory builds, empty, from parameters; the subclass closes the index."""

    @pytest.fixture
    def make_index(self) -> MakeAreaSearch:
        """Build the empty index under test. Override it."""
        raise NotImplementedError

    @pytest.fixture
    def judged(self, make_index: MakeAreaSearch) -> Callable[..., Judged]:
        """Build the index and its judge."""

        def build(
            metric: DescriptorMetric = DescriptorMetric.L2,
            tile_ids: list[TileId] = TILES,
            descriptors: Vectors = VECTORS,
        ) -> Judged:
            index = make_index(HnswParams(metric=metric))
            index.rebuild(
                tile_ids,
                descriptors,
                descriptor_model="a-network",
                built_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
            )
            return Judged(index, BruteForce(metric, tile_ids, descriptors))

        return build

    @pytest.mark.parametrize("metric", DescriptorMetric)
    def test_an_area_is_answered_as_by_comparing_with_every_descriptor_in_it(
        self, judged: Callable[..., Judged], metric: DescriptorMetric
    ) -> None:
        built = judged(metric)

        @settings(
            FROM_A_FACTORY, max_examples=max(1, settings().max_examples * 2 // 5)
        )  # of each implementation
        @given(area=_areas, query=_queries, k=st.integers(1, 40))
        def hold(area: Area, query: Vectors, k: int) -> None:
            if query.any() or metric is DescriptorMetric.L2:
                built.agree(query, k, area)
            else:
                with pytest.raises(ValueError, match="or more by inner product"):
                    built.index.search_within(query, k, area)

        hold()

    @pytest.mark.parametrize("metric", DescriptorMetric)
    def test_a_tile_with_several_descriptors_is_named_once_by_its_best(
        self, judged: Callable[..., Judged], metric: DescriptorMetric
    ) -> None:
        of_each = 1 + np.random.default_rng(5).integers(0, 4, COUNT // 2)  # 1 to 4 descriptors a tile
        owners = np.random.default_rng(6).permutation(np.repeat(np.arange(COUNT // 2), of_each))[:COUNT]
        built = judged(metric, [TILES[owner] for owner in owners], VECTORS[: len(owners)])
        for number, area in enumerate((EVERYWHERE, Area((Circle(20, 30, 4_000_000),)))):
            for k in (1, 3, 50, COUNT):
                built.agree(VECTORS[number], k, area)

    @pytest.mark.parametrize("metric", DescriptorMetric)
    def test_the_whole_world_holds_every_tile(
        self, judged: Callable[..., Judged], metric: DescriptorMetric
    ) -> None:
        judged(metric).agree(np.ones(DIMENSION, np.float32), 10_000, EVERYWHERE)

    def test_threads_that_search_at_once_get_what_each_would_get_alone(
        self, judged: Callable[..., Judged]
    ) -> None:
        index = judged().index
        areas = [Area((Bbox(-80, lon, 80, lon + 40),)) for lon in range(-180, 140, 20)]
        alone = [index.search_within(VECTORS[0], 7, area) for area in areas]
        with ThreadPoolExecutor(8) as threads:
            for _ in range(5):
                found = threads.map(lambda area: index.search_within(VECTORS[0], 7, area), areas)
                assert list(found) == alone

    def test_an_area_without_descriptors_answers_with_nothing(self, judged: Callable[..., Judged]) -> None:
        nowhere = Area((Bbox(0, 0, 1, 1),), [22])
        assert _small(judged).index.search_within(np.ones(DIMENSION, np.float32), 5, nowhere) == []

    def test_it_is_an_index_that_searches_within_areas(self, make_index: MakeAreaSearch) -> None:
        assert isinstance(make_index(HnswParams()), SupportsAreaSearch)

    @pytest.mark.parametrize("k", [0, -1, True, 1.5])
    def test_an_impossible_number_of_tiles_is_refused(self, judged: Callable[..., Judged], k: Any) -> None:
        with pytest.raises(ValueError, match="k must be"):
            _small(judged).index.search_within(np.ones(DIMENSION, np.float32), k, EVERYWHERE)

    @pytest.mark.parametrize(
        "query",
        [
            np.ones(DIMENSION + 1, np.float32),
            np.ones(DIMENSION),
            np.full(DIMENSION, np.nan, np.float32),
            [1.0],
        ],
        ids=["too_long", "float64", "nan", "list"],
    )
    def test_a_query_of_the_wrong_kind_is_refused(self, judged: Callable[..., Judged], query: Any) -> None:
        with pytest.raises(ValueError, match="descriptor must"):
            _small(judged).index.search_within(query, 5, EVERYWHERE)

    def test_an_index_that_was_never_built_says_so(self, make_index: MakeAreaSearch) -> None:
        with pytest.raises(IndexUnavailableError):
            make_index(HnswParams()).search_within(np.ones(DIMENSION, np.float32), 5, EVERYWHERE)

    def test_a_closed_index_says_so(self, judged: Callable[..., Judged]) -> None:
        index = _small(judged).index
        index.close()
        with pytest.raises(IndexUnavailableError):
            index.search_within(np.ones(DIMENSION, np.float32), 5, EVERYWHERE)

    @pytest.mark.parametrize("metric", DescriptorMetric)
    def test_one_tile_is_an_index_too(self, judged: Callable[..., Judged], metric: DescriptorMetric) -> None:
        judged(metric, TILES[:1], VECTORS[:1]).agree(VECTORS[0], 3, EVERYWHERE)


def _small(judged: Callable[..., Judged]) -> Judged:
    return judged(tile_ids=TILES[:5], descriptors=VECTORS[:5])
