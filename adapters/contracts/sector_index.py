"""The contract of `SectorIndex`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...domain.ports.sector_index import SectorIndex
from ...domain.values.sectors import SectorBoundary, SectorClassification
from ...domain.values.shapes import MultiPolygon, Polygon, shares_point
from ...domain.values.tile_grid import Bbox
from .generated_examples import FROM_A_FACTORY

MakeSectorIndex = Callable[[Sequence[SectorBoundary]], SectorIndex]


# Whole degrees make boxes touch often; the odd fraction is one that float32 can't hold.
latitudes = st.one_of(st.integers(-90, 90).map(float), st.floats(-90, 90), st.just(0.1))

longitudes = st.one_of(st.integers(-180, 180).map(float), st.floats(-180, 180), st.just(0.1))


@st.composite
def boxes(draw: st.DrawFn) -> Bbox:
    south, north = sorted((draw(latitudes), draw(latitudes)))
    west, east = sorted((draw(longitudes), draw(longitudes)))
    return Bbox(south, west, north, east)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """Any ring, often one that crosses itself, and perhaps another as its hole."""
    rings = st.lists(st.tuples(longitudes, latitudes), min_size=3, max_size=6, unique=True)
    return Polygon(draw(st.lists(rings, min_size=1, max_size=2)))


@st.composite
def sector_lists(draw: st.DrawFn) -> list[SectorBoundary]:
    shapes = st.one_of(boxes(), polygons(), st.lists(polygons(), min_size=1, max_size=3).map(MultiPolygon))
    found = draw(st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), shapes), max_size=30))
    return [SectorBoundary(name, SectorClassification.STABLE_REAR, shape) for name, shape in found]


def sector(name: str, *corners: float) -> SectorBoundary:
    return SectorBoundary(name, SectorClassification.ACTIVE_CONFLICT, Bbox(*corners))


class SectorIndexContract:
    """Holds an index that a factory builds from a list of sectors."""

    @pytest.fixture
    def make_index(self) -> MakeSectorIndex:
        """Build the index under test from its sectors. Override it."""
        raise NotImplementedError

    def test_it_is_a_sector_index(self, make_index: MakeSectorIndex) -> None:
        assert isinstance(make_index([]), SectorIndex)

    def test_without_sectors_nothing_is_found(self, make_index: MakeSectorIndex) -> None:
        assert make_index([]).sectors_at(10.0, 10.0) == ()

    def test_an_edge_and_a_corner_belong_to_the_sector(self, make_index: MakeSectorIndex) -> None:
        index = make_index([sector("a", 0.0, 0.0, 10.0, 10.0)])
        assert len(index.sectors_at(10.0, 5.0)) == len(index.sectors_at(10.0, 10.0)) == 1
        assert index.sectors_at(math.nextafter(10.0, 11.0), 5.0) == ()

    def test_a_box_that_only_touches_counts(self, make_index: MakeSectorIndex) -> None:
        index = make_index([sector("a", 0.0, 0.0, 10.0, 10.0)])
        assert len(index.sectors_intersecting(Bbox(10.0, 10.0, 20.0, 20.0))) == 1

    def test_sectors_come_ordered_by_id(self, make_index: MakeSectorIndex) -> None:
        sectors = [sector(name, 0.0, 0.0, 1.0, 1.0) for name in ("c", "a", "d", "b")]
        assert [found.sector_id for found in make_index(sectors).sectors_at(0.5, 0.5)] == ["a", "b", "c", "d"]

    @pytest.mark.parametrize(
        ("lat", "lon", "refusal"),
        [
            (math.nan, 0.0, "^lat must be within -90..90, got nan$"),
            (0.0, math.inf, "^lon must be within -180..180, got inf$"),
            (90.5, 0.0, "^lat must be within -90..90, got 90.5$"),
            (0.0, -180.5, "^lon must be within -180..180, got -180.5$"),
            (True, 0.0, "^lat must be a number of degrees, got True$"),
            (0.0, "5", "^lon must be a number of degrees, got '5'$"),
        ],
    )
    def test_a_place_that_is_not_on_the_globe_is_refused_by_the_parameters_name(
        self, make_index: MakeSectorIndex, lat: Any, lon: Any, refusal: str
    ) -> None:
        index = make_index([sector("a", 0.0, 0.0, 10.0, 10.0)])
        with pytest.raises(ValueError, match=refusal):
            index.sectors_at(lat, lon)

    def test_numbers_of_numpy_are_taken(self, make_index: MakeSectorIndex) -> None:
        index = make_index([sector("a", 0.0, 0.0, 10.0, 10.0)])
        assert len(index.sectors_at(np.float32(5.5), np.int64(5))) == 1

    @FROM_A_FACTORY
    @given(sectors=sector_lists(), lat=latitudes, lon=longitudes, box=boxes())
    def test_every_implementation_finds_what_the_shapes_say(
        self,
        make_index: MakeSectorIndex,
        sectors: list[SectorBoundary],
        lat: float,
        lon: float,
        box: Bbox,
    ) -> None:
        ordered = sorted(sectors, key=lambda found: found.sector_id)
        index = make_index(sectors)
        point = Bbox(lat, lon, lat, lon)
        assert index.sectors_at(lat, lon) == tuple(s for s in ordered if shares_point(s.shape, point))
        assert index.sectors_intersecting(box) == tuple(s for s in ordered if shares_point(s.shape, box))

    def test_a_hole_and_the_ground_beside_a_polygon_are_not_the_sector_s(
        self, make_index: MakeSectorIndex
    ) -> None:
        outer = [(0.0, 0.0), (10.0, 0.0), (0.0, 10.0)]
        hole = [(1.0, 1.0), (3.0, 1.0), (1.0, 3.0)]
        index = make_index(
            [SectorBoundary("a", SectorClassification.ACTIVE_CONFLICT, Polygon([outer, hole]))]
        )
        assert len(index.sectors_at(0.5, 0.5)) == len(index.sectors_at(2.0, 2.0)) == 1
        assert index.sectors_at(1.5, 1.4) == index.sectors_at(8.0, 8.0) == ()

    def test_many_threads_ask_at_once_and_get_right_answers(self, make_index: MakeSectorIndex) -> None:
        sectors = [
            sector(f"{lat:+03d}/{lon:+04d}", lat, lon, lat + 1, lon + 1)
            for lat in range(-60, 60, 8)
            for lon in range(-170, 170, 8)
        ]
        index = make_index(sectors)

        def ask(worker: int) -> bool:
            return all(index.sectors_intersecting(found.bbox) == (found,) for found in sectors[worker::16])

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(16)))
