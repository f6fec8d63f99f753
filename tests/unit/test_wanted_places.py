"""Which places an area wants: the squares name exactly the tiles that touch it."""

from __future__ import annotations

import random

import pytest

from aerotile.domain.errors import ImagerySourceError
from aerotile.domain.intake.wanted_places import SQUARE, WantedZoom
from aerotile.domain.values.areas import Area
from aerotile.domain.values.corridors import Corridor
from aerotile.domain.values.shapes import Circle, Polygon, Shape
from aerotile.domain.values.tile_grid import Bbox, GridRange

ZOOM = 9
WORLD = GridRange(ZOOM, 0, 0, (1 << ZOOM) - 1, (1 << ZOOM) - 1)


def named(wanted: WantedZoom, *extents: GridRange) -> list[tuple[int, int]]:
    return [(x, y) for square in wanted.squares(extents) for x, y in square.within if square.holds(x, y)]


def some_shapes(rng: random.Random) -> list[Shape]:
    def place() -> tuple[float, float]:
        return rng.uniform(-179, 170), rng.uniform(-80, 78)

    (west, south), (lon, lat) = place(), place()
    corner = place()
    return [
        Bbox(south, west, south + rng.uniform(0, 6), west + rng.uniform(0, 9)),
        Circle(lat, lon, rng.uniform(1_000, 200_000)),
        Polygon([[corner, (corner[0] + 7, corner[1] + 1), (corner[0] + 2, corner[1] + 6)]]),
        Corridor([(lon, lat), (lon + 4, lat + 3)], 20_000),
    ]


def test_an_area_wants_the_tiles_that_touch_it_each_once() -> None:
    rng = random.Random(16)
    for _ in range(3):
        area = Area(some_shapes(rng))
        wanted = WantedZoom.of(area, ZOOM)
        found = named(wanted, WORLD)
        assert len(found) == len(set(found)) == wanted.count
        touching = {(span.y, x) for span in area.spans(ZOOM) for x in range(span.min_x, span.max_x + 1)}
        assert {(y, x) for x, y in found} == touching


def test_squares_lie_where_a_source_has_something() -> None:
    area = Area([Bbox(-60, -170, 60, 170)])
    extents = [GridRange(ZOOM, 100, 200, 130, 210), GridRange(ZOOM, 400, 201, 401, 201)]
    squares = list(WantedZoom.of(area, ZOOM).squares(extents))
    assert {(square.within.min_x // SQUARE, square.within.min_y // SQUARE) for square in squares} == {
        (1, 3),
        (2, 3),
        (6, 3),
    }
    assert len(squares) == 3


def test_without_an_area_all_is_wanted_where_a_source_has_something() -> None:
    wanted = WantedZoom.of(None, ZOOM)
    extent = GridRange(ZOOM, 60, 60, 70, 70)
    assert wanted.count is None
    assert set(extent) <= set(named(wanted, extent))
    assert len(list(wanted.squares([extent]))) == 4
    assert list(wanted.squares([])) == []


def test_an_area_of_too_many_rows_is_refused_before_they_are_made() -> None:
    with pytest.raises(ImagerySourceError, match=r"4194304 rows of tiles at zoom 22") as refusal:
        WantedZoom.of(Area([Bbox(-90, -180, 90, 180)]), 22)
    assert "smaller area" in str(refusal.value.remedy)
