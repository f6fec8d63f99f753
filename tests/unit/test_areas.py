"""Areas: which tiles share a point with a box, a circle or a polygon."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from aerotile.domain.values.areas import Area, boxes_around
from aerotile.domain.values.corridors import Corridor
from aerotile.domain.values.shapes import EARTH_RADIUS_M, Circle, Polygon, Shape
from aerotile.domain.values.tile_grid import Bbox, tile_bbox

lats = st.floats(-90, 90, allow_nan=False)
lons = st.floats(-180, 180, allow_nan=False)
zooms = st.integers(0, 5)
borders = st.sampled_from([-180.0, -90.0, -45.0, 0.0, 22.5, 90.0, 180.0])


@st.composite
def boxes(draw: st.DrawFn) -> Bbox:
    south, north = sorted((draw(lats), draw(lats)))
    west, east = sorted((draw(lons | borders), draw(lons | borders)))
    return Bbox(south, west, north, east)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """A star around a point, sometimes with a smaller one as its hole, sometimes any ring at all."""
    if draw(st.booleans()):
        ring = draw(st.lists(st.tuples(lons | borders, lats), min_size=3, max_size=7, unique=True))
        return Polygon([ring])
    lat, lon, count = draw(st.floats(-60, 60)), draw(st.floats(-120, 120)), draw(st.integers(3, 9))
    reach = draw(st.lists(st.floats(1, 25), min_size=count, max_size=count))
    star = [
        (lon + length * math.cos(math.tau * i / count), lat + length * math.sin(math.tau * i / count))
        for i, length in enumerate(reach)
    ]
    hole = [(lon + (x - lon) / 2, lat + (y - lat) / 2) for x, y in star]
    return Polygon([star, hole] if draw(st.booleans()) else [star])


circles = st.builds(Circle, lats, lons | borders, st.floats(0, 9_000_000))
corridors = st.builds(
    lambda lat, lon, turn, width: Corridor([(lon, lat), (max(-180.0, min(180.0, lon + turn)), lat)], width),
    st.floats(-80, 80), lons | borders, st.floats(-20, 20), st.floats(0, 900_000),
)  # fmt: skip


def distance_m(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """By the haversine formula."""
    a, b, turn = math.radians(lat_a), math.radians(lat_b), math.radians(lon_b - lon_a)
    chord = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(turn / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(chord)))


@given(boxes() | circles | polygons(), zooms)
def test_spans_name_exactly_the_tiles_that_are_touched(shape: Shape, zoom_level: int) -> None:
    area = Area((shape,))
    size = 1 << zoom_level
    named = {(x, span.y) for span in area.spans(zoom_level) for x in range(span.min_x, span.max_x + 1)}
    touched = {(x, y) for x in range(size) for y in range(size) if area.touches(zoom_level, x, y)}
    assert named == touched


@given(boxes() | circles | polygons() | corridors, st.integers(0, 4))
@example(Circle(0.0, 179.9, 100_000.0), 5)
@example(Circle(89.0, 0.0, 2_000_000.0), 2)
def test_the_boxes_around_an_area_touch_every_tile_that_it_touches(shape: Shape, zoom_level: int) -> None:
    area = Area((shape,))
    around = boxes_around(area)
    size = 1 << zoom_level
    for x, y in ((x, y) for x in range(size) for y in range(size) if area.touches(zoom_level, x, y)):
        assert any(box.intersects(tile_bbox(x, y, zoom_level)) for box in around)


def test_the_boxes_around_a_circle_at_the_antimeridian_are_two_and_a_box_stays_itself() -> None:
    box = Bbox(1.123456789, 2.0, 3.0, 4.0)
    assert boxes_around(Area((box,))) == (box,)
    west, east = boxes_around(Area((Circle(0.0, 179.9, 100_000.0),)))
    assert (west.min_lon, east.max_lon) == (-180.0, 180.0)
    assert west.max_lon < -179 < 179 < east.min_lon


@given(boxes(), zooms)
def test_a_box_touches_the_tiles_whose_boxes_share_a_point_with_it(box: Bbox, zoom_level: int) -> None:
    size = 1 << zoom_level
    for x in range(size):
        for y in range(size):
            shares = box.intersects(tile_bbox(x, y, zoom_level))
            assert Area((box,)).touches(zoom_level, x, y) is shares


@given(circles, zooms, st.data())
@example(Circle(89.0, 0.0, 2_000_000.0), 2, None)
def test_a_circle_touches_a_tile_by_the_nearest_point_of_its_box(
    circle: Circle, zoom_level: int, data: st.DataObject | None
) -> None:
    size = 1 << zoom_level
    x = 0 if data is None else data.draw(st.integers(0, size - 1))
    y = 0 if data is None else data.draw(st.integers(0, size - 1))
    box = tile_bbox(x, y, zoom_level)
    nearest = min(
        distance_m(circle.lat, circle.lon, lat, lon)
        for lon in (box.min_lon, box.max_lon, min(max(circle.lon, box.min_lon), box.max_lon))
        for lat in nearest_latitudes(circle, box, lon)
    )
    assume(abs(nearest - circle.radius_m) > 1e-3)
    assert Area((circle,)).touches(zoom_level, x, y) is (nearest < circle.radius_m)


def nearest_latitudes(circle: Circle, box: Bbox, lon: float) -> list[float]:
    """Candidates for the nearest point on a meridian: the ends of the box and the foot of the centre."""
    centre, turn = math.radians(circle.lat), math.radians(lon - circle.lon)
    foot = math.degrees(math.atan2(math.sin(centre), math.cos(centre) * math.cos(turn)))
    return [box.min_lat, box.max_lat, min(max(foot, box.min_lat), box.max_lat)]


@given(polygons(), zooms, st.data())
def test_a_polygon_touches_every_tile_that_holds_one_of_its_points(
    polygon: Polygon, zoom_level: int, data: st.DataObject
) -> None:
    ring = data.draw(st.sampled_from(polygon.rings))
    at = data.draw(st.integers(0, len(ring) - 1))
    (lon_a, lat_a), (lon_b, lat_b) = ring[at], ring[(at + 1) % len(ring)]
    part = data.draw(st.floats(0, 1))
    lon, lat = lon_a + part * (lon_b - lon_a), lat_a + part * (lat_b - lat_a)
    assume(abs(lat) < 85)
    size = 1 << zoom_level
    x = min(int((lon / 360 + 0.5) * size), size - 1)
    for y in range(size):
        box = tile_bbox(x, y, zoom_level)
        if box.min_lat + 1e-9 < lat < box.max_lat - 1e-9 and box.min_lon + 1e-9 < lon < box.max_lon - 1e-9:
            assert Area((polygon,)).touches(zoom_level, x, y)


def test_ground_inside_a_hole_is_outside_and_its_edge_is_in() -> None:
    outer = [(-40, -40), (40, -40), (40, 40), (-40, 40)]
    hole = [(-22.5, -30), (22.5, -30), (22.5, 30), (-22.5, 30)]
    area = Area((Polygon([outer, hole]),))
    assert not area.touches(6, 30, 31)  # 11.25 W to 5.6 W at the equator
    assert area.touches(4, 7, 7)  # whose western edge is the hole's
    assert area.touches(4, 6, 7)
    assert area.touches(0, 0, 0)


def test_a_circle_across_the_antimeridian_reaches_both_sides() -> None:
    area = Area.around(0.0, 179.9, 50_000.0)
    columns = {x for span in area.spans(8) for x in range(span.min_x, span.max_x + 1)}
    assert columns == {0, 255}


def test_a_circle_around_a_pole_reaches_every_longitude() -> None:
    area = Area.around(90.0, 0.0, 1_000_000.0)
    spans = list(area.spans(6))
    assert spans
    assert {(span.min_x, span.max_x) for span in spans} == {(0, 63)}


def test_a_circle_of_no_radius_is_in_the_tiles_of_its_point() -> None:
    held = {(x, s.y) for s in Area.around(0.0, 0.0, 0.0).spans(3) for x in range(s.min_x, s.max_x + 1)}
    assert held == {(3, 3), (3, 4), (4, 3), (4, 4)}


def test_an_area_holds_the_zooms_that_it_names() -> None:
    area = Area((Bbox(0, 0, 1, 1),), [3, 5])
    assert area.touches(3, 4, 3)
    assert not area.touches(4, 8, 7)
    assert list(area.spans(4)) == []


@pytest.mark.parametrize(
    "build",
    [
        lambda: Area(()),
        lambda: Area((Bbox(0, 0, 1, 1),), []),
        lambda: Area((Bbox(0, 0, 1, 1),), [23]),
        lambda: Area(("0,0,1,1",)),  # type: ignore[arg-type] # what a caller might pass
        lambda: Area.around(91.0, 0.0, 1.0),
        lambda: Area.around(math.nan, 0.0, 1.0),
        lambda: Area.around(0.0, 181.0, 1.0),
        lambda: Area.around(0.0, 0.0, -1.0),
        lambda: Area.around(0.0, 0.0, math.inf),
        lambda: Polygon([]),
        lambda: Polygon([[(0, 0), (1, 1)]]),
        lambda: Polygon([[(0, 0), (1, 1), (0, 0)]]),
        lambda: Polygon([[(0, 0), (1, 1), (0, 91)]]),
        lambda: Polygon([[(0, 0), (1, math.nan), (0, 1)]]),
    ],
)
def test_an_impossible_area_is_refused(build: object) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        build()  # type: ignore[operator] # each is a function without arguments
