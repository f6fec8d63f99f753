"""The tile grid against mercantile, an independent implementation of the same arithmetic."""

from __future__ import annotations

import math

import mercantile
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aerotile.domain.values.tile_grid import (
    MAX_LATITUDE,
    MAX_ZOOM,
    Bbox,
    GridRange,
    check_zoom,
    column_and_row,
    ground_sample_distance,
    tile_bbox,
)

ROUNDING_DEGREES = 1e-9
"""Rounding of double precision around 180 degrees, with room; a tenth of a millimetre on the ground."""

zooms = st.integers(0, MAX_ZOOM)
latitudes = st.floats(-MAX_LATITUDE, MAX_LATITUDE)
longitudes = st.floats(-180.0, 180.0)


@st.composite
def cells(draw: st.DrawFn, max_zoom: int = MAX_ZOOM) -> tuple[int, int, int]:
    zoom = draw(st.integers(0, max_zoom))
    coordinate = st.integers(0, (1 << zoom) - 1)
    return draw(coordinate), draw(coordinate), zoom


@st.composite
def boxes(draw: st.DrawFn) -> Bbox:
    south, north = sorted((draw(latitudes), draw(latitudes)))
    west, east = sorted((draw(longitudes), draw(longitudes)))
    return Bbox(south, west, north, east)


@given(cells(), st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_a_place_inside_a_tile_is_covered_by_the_tile_that_mercantile_names(
    cell: tuple[int, int, int], across: float, up: float
) -> None:
    bounds = mercantile.bounds(*cell)
    lon = bounds.west + across * (bounds.east - bounds.west)
    lat = bounds.south + up * (bounds.north - bounds.south)
    tile = mercantile.tile(lon, lat, cell[2])
    assert column_and_row(lat, lon, cell[2]) == (tile.x, tile.y) == cell[:2]


@given(latitudes, longitudes, zooms)
def test_every_place_lies_in_the_tile_that_covers_it(lat: float, lon: float, zoom: int) -> None:
    x, y = column_and_row(lat, lon, zoom)
    bounds = mercantile.bounds(x, y, zoom)
    assert bounds.west - ROUNDING_DEGREES <= lon <= bounds.east + ROUNDING_DEGREES
    assert bounds.south - ROUNDING_DEGREES <= lat <= bounds.north + ROUNDING_DEGREES


@given(cells())
def test_a_tile_covers_the_box_that_mercantile_gives_it(cell: tuple[int, int, int]) -> None:
    ours, theirs = tile_bbox(*cell), mercantile.bounds(*cell)
    assert (ours.min_lat, ours.min_lon, ours.max_lat, ours.max_lon) == pytest.approx(
        (theirs.south, theirs.west, theirs.north, theirs.east), abs=ROUNDING_DEGREES
    )


@given(cells(max_zoom=MAX_ZOOM - 1))
def test_the_children_of_a_tile_share_its_edges_and_meet_in_its_middle(cell: tuple[int, int, int]) -> None:
    parent = tile_bbox(*cell)
    children = {(t.x, t.y): tile_bbox(*t) for t in mercantile.children(*cell)}
    x, y = 2 * cell[0], 2 * cell[1]
    assert set(children) == {(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)}
    assert children[x, y].max_lat == children[x + 1, y].max_lat == pytest.approx(parent.max_lat)
    assert children[x, y].min_lon == children[x, y + 1].min_lon == pytest.approx(parent.min_lon)
    assert children[x + 1, y + 1].min_lat == pytest.approx(parent.min_lat)
    assert children[x + 1, y + 1].max_lon == pytest.approx(parent.max_lon)
    assert children[x, y].min_lat == children[x + 1, y + 1].max_lat
    assert children[x, y].max_lon == children[x + 1, y + 1].min_lon


@given(zooms)
def test_the_corners_of_the_world_belong_to_the_corner_tiles(zoom: int) -> None:
    last = (1 << zoom) - 1
    assert column_and_row(MAX_LATITUDE, -180.0, zoom) == (0, 0)
    assert column_and_row(-MAX_LATITUDE, 180.0, zoom) == (last, last)


@pytest.mark.parametrize(
    "lat", [math.nan, math.inf, -math.inf, 85.06, -85.06, math.nextafter(MAX_LATITUDE, 90)]
)
def test_a_latitude_that_web_mercator_does_not_show_is_refused_by_value(lat: float) -> None:
    with pytest.raises(ValueError, match=r"^lat ") as refusal:
        column_and_row(lat, 0.0, 3)
    assert repr(lat) in str(refusal.value)


@pytest.mark.parametrize("lon", [math.nan, math.inf, -math.inf, math.nextafter(180, 181), -180.5])
def test_a_longitude_off_the_globe_is_refused_by_value(lon: float) -> None:
    with pytest.raises(ValueError, match=r"^lon ") as refusal:
        column_and_row(0.0, lon, 3)
    assert repr(lon) in str(refusal.value)


@pytest.mark.parametrize("zoom", [-1, 23, 1.0, "3", None, True])
def test_a_zoom_off_the_grid_is_refused_by_value(zoom: object) -> None:
    with pytest.raises(ValueError, match=r"^zoom_level ") as refusal:
        check_zoom(zoom)  # type: ignore[arg-type] # wrong types are part of what is tested
    assert repr(zoom) in str(refusal.value)


@pytest.mark.parametrize(
    ("corners", "offender"),
    [
        ((1.0, 0.0, 0.0, 1.0), "1.0"),
        ((0.0, 170.0, 1.0, -170.0), "170.0"),
        ((-90.5, 0.0, 0.0, 1.0), "-90.5"),
        ((0.0, -180.5, 0.0, 1.0), "-180.5"),
        ((0.0, 0.0, 91.0, 1.0), "91.0"),
        ((0.0, 0.0, 1.0, 181.0), "181.0"),
        ((math.nan, 0.0, 1.0, 1.0), "nan"),
        ((0.0, 0.0, 1.0, math.inf), "inf"),
        (("0", 0.0, 1.0, 1.0), "'0'"),
        ((0.0, True, 1.0, 1.0), "True"),
    ],
)
def test_an_impossible_box_is_refused_by_value(
    corners: tuple[float, float, float, float], offender: str
) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the value in the message is checked below
        Bbox(*corners)
    assert offender in str(refusal.value)


def test_a_box_across_the_antimeridian_is_told_to_be_two() -> None:
    with pytest.raises(ValueError, match="two boxes"):
        Bbox(-1.0, 179.0, 1.0, -179.0)


def test_a_box_may_be_a_single_point() -> None:
    point = Bbox(54.5, 18.5, 54.5, 18.5)
    assert point.contains(54.5, 18.5)
    assert point.intersects(point)


@given(boxes(), boxes())
def test_boxes_intersect_exactly_when_some_point_lies_in_both(one: Bbox, other: Bbox) -> None:
    # Of two boxes that overlap, the greater of the two south-west corners always lies in both.
    lat, lon = max(one.min_lat, other.min_lat), max(one.min_lon, other.min_lon)
    assert one.intersects(other) == (one.contains(lat, lon) and other.contains(lat, lon))
    assert one.intersects(other) == other.intersects(one)


def test_boxes_that_share_one_corner_intersect() -> None:
    assert Bbox(0.0, 0.0, 1.0, 1.0).intersects(Bbox(1.0, 1.0, 2.0, 2.0))


@pytest.mark.parametrize(
    ("lat", "zoom", "tile_size", "metres"),
    [
        (0.0, 0, 256, 156_543.033928041),
        (0.0, 18, 256, 0.597164283559817),
        (60.0, 18, 256, 0.597164283559817 / 2),
        (0.0, 18, 512, 0.597164283559817 / 2),
    ],
)
def test_the_ground_sample_distance_is_that_of_the_published_zoom_tables(
    lat: float, zoom: int, tile_size: int, metres: float
) -> None:
    assert ground_sample_distance(lat, zoom, tile_size) == pytest.approx(metres, rel=1e-9)


@given(boxes(), st.integers(0, 6))
def test_a_range_holds_every_tile_that_mercantile_finds_in_the_box(bbox: Bbox, zoom: int) -> None:
    # mercantile leaves a box without width or height empty, and shrinks every box by a billionth of a degree.
    assume(bbox.max_lat - bbox.min_lat > 1e-8 and bbox.max_lon - bbox.min_lon > 1e-8)
    covering = GridRange.covering(bbox, zoom)
    theirs = mercantile.tiles(bbox.min_lon, bbox.min_lat, bbox.max_lon, bbox.max_lat, zoom)
    assert {(t.x, t.y) for t in theirs} <= set(covering)


@given(boxes(), st.integers(0, 6))
def test_a_range_holds_only_tiles_that_touch_the_box(bbox: Bbox, zoom: int) -> None:
    for x, y in GridRange.covering(bbox, zoom):
        tile = mercantile.bounds(x, y, zoom)
        assert tile.west <= bbox.max_lon + ROUNDING_DEGREES
        assert tile.east >= bbox.min_lon - ROUNDING_DEGREES
        assert tile.south <= bbox.max_lat + ROUNDING_DEGREES
        assert tile.north >= bbox.min_lat - ROUNDING_DEGREES


@given(boxes(), st.integers(0, 5))
def test_the_length_of_a_range_is_the_number_of_its_tiles(bbox: Bbox, zoom: int) -> None:
    covering = GridRange.covering(bbox, zoom)
    assert len(covering) == len(set(covering)) == len(list(covering))


def test_a_range_over_the_whole_globe_is_the_whole_grid() -> None:
    covering = GridRange.covering(Bbox(-90.0, -180.0, 90.0, 180.0), 3)
    assert set(covering) == {(x, y) for x in range(8) for y in range(8)}
