"""Corridors: which tiles lie within a distance of a line."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.areas import Area, merged_spans
from aerotile.domain.values.corridors import GEODESIC_DEVIATION, Corridor, line_lengths_m
from aerotile.domain.values.shapes import EARTH_RADIUS_M
from aerotile.domain.values.tile_grid import Point, tile_bbox

lats = st.floats(-89, 89)
lons = st.floats(-180, 180) | st.sampled_from([-180.0, 180.0, 179.99, -179.99, 0.0])


@st.composite
def lines(draw: st.DrawFn) -> list[Point]:
    """Up to four points, each at most some hundred kilometres from the one before."""
    lon, lat = draw(lons), draw(lats)
    points = [(lon, lat)]
    for _ in range(draw(st.integers(0, 3))):
        lat = min(max(lat + draw(st.floats(-3, 3)), -90.0), 90.0)
        lon = (lon + draw(st.floats(-5, 5)) + 180.0) % 360.0 - 180.0
        points.append((lon, lat))
    return points


corridors = st.builds(Corridor, lines(), st.floats(0, 50_000))


def angle(a: Point, b: Point) -> float:
    """By the haversine formula, in radians."""
    (lon_a, lat_a), (lon_b, lat_b) = a, b
    south, north, turn = math.radians(lat_a), math.radians(lat_b), math.radians(lon_b - lon_a)
    chord = math.sin((north - south) / 2) ** 2 + math.cos(south) * math.cos(north) * math.sin(turn / 2) ** 2
    return 2 * math.asin(min(1.0, math.sqrt(chord)))


def vector(point: Point) -> tuple[float, float, float]:
    lon, lat = map(math.radians, point)
    return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)


def on_line(a: Point, b: Point, part: float) -> Point:
    """The point at a part of the great circle from a to b."""
    whole = angle(a, b)
    if whole < 1e-9:
        return a
    near, far = math.sin((1 - part) * whole) / math.sin(whole), math.sin(part * whole) / math.sin(whole)
    x, y, z = (near * p + far * q for p, q in zip(vector(a), vector(b), strict=True))
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def away(point: Point, bearing: float, radians: float) -> Point:
    """The point at an angle from another."""
    lon, lat = map(math.radians, point)
    north = math.asin(
        min(1.0, math.sin(lat) * math.cos(radians) + math.cos(lat) * math.sin(radians) * math.cos(bearing))
    )
    turn = math.atan2(
        math.sin(bearing) * math.sin(radians) * math.cos(lat),
        math.cos(radians) - math.sin(lat) * math.sin(north),
    )
    return (math.degrees(lon + turn) + 540.0) % 360.0 - 180.0, math.degrees(north)


def distance_m(point: Point, line: list[Point] | tuple[Point, ...]) -> float:
    """From a point to a line of great circles, on the mean sphere."""
    nearest = min(angle(point, end) for end in line)
    for a, b in pairwise(line):
        p, q, r = vector(a), vector(b), vector(point)
        pole = (p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0])
        length = math.hypot(*pole)
        if length < 1e-12:
            continue
        across = sum(u * v for u, v in zip(pole, r, strict=True)) / length
        foot = [v - across * u / length for u, v in zip(pole, r, strict=True)]
        scale = math.hypot(*foot)
        if scale < 1e-12:
            continue
        lon, lat = math.degrees(math.atan2(foot[1], foot[0])), math.degrees(math.asin(foot[2] / scale))
        if abs(angle(a, (lon, lat)) + angle((lon, lat), b) - angle(a, b)) < 1e-9:
            nearest = min(nearest, abs(math.asin(min(1.0, max(-1.0, across)))))
    return nearest * EARTH_RADIUS_M


@given(corridors, st.integers(0, 4))
def test_the_tiles_of_a_corridor_are_those_that_share_a_point_with_it(corridor: Corridor, zoom: int) -> None:
    area, size = Area((corridor,)), 1 << zoom
    _, xs, ys = merged_spans(area, zoom).cells()
    named = list(zip(xs.tolist(), ys.tolist(), strict=True))
    assert len(named) == len(set(named))
    touched = {(x, y) for x in range(size) for y in range(size) if area.touches(zoom, x, y)}
    assert set(named) == touched


@given(corridors, st.integers(0, 14), st.data())
def test_no_tile_within_the_distance_is_missed(corridor: Corridor, zoom: int, data: st.DataObject) -> None:
    """Any place within the distance of any place on the line lies in a tile that is named."""
    _, xs, ys = merged_spans(Area((corridor,)), zoom).cells()
    named, size = set(zip(xs.tolist(), ys.tolist(), strict=True)), 1 << zoom
    for a, b in pairwise((*corridor.points, corridor.points[-1])):
        middle = on_line(a, b, data.draw(st.floats(0, 1)))
        bearing = data.draw(st.floats(0, math.tau))
        # The mean radius is more than the smallest radius of curvature: a shorter way is within the distance.
        reach = data.draw(st.floats(0, 1)) * corridor.half_width_m / 6_399_594.0
        lon, lat = away(middle, bearing, reach)
        if abs(lat) > 85.05:
            continue
        x = int((lon / 360 + 0.5) * size) % size
        y = int((0.5 - math.asinh(math.tan(math.radians(lat))) / math.tau) * size)
        assert (x, min(max(y, 0), size - 1)) in named


@given(st.builds(Corridor, lines(), st.floats(500, 50_000)), st.integers(8, 12))
def test_no_tile_far_beyond_the_distance_is_named(corridor: Corridor, zoom: int) -> None:
    longest = float(line_lengths_m((*corridor.points, corridor.points[-1])).max())
    allowed = corridor.half_width_m * 1.012 + 15.0 + 1.2 * GEODESIC_DEVIATION * longest**2
    spans = merged_spans(Area((corridor,)), zoom)
    for y, min_x, max_x in list(
        zip(spans.y.tolist(), spans.min_x.tolist(), spans.max_x.tolist(), strict=True)
    )[:12]:
        for x in {min_x, max_x}:
            box = tile_bbox(x, y, zoom)
            steps = range(9)
            places = [
                (
                    box.min_lon + (box.max_lon - box.min_lon) * i / 8,
                    box.min_lat + (box.max_lat - box.min_lat) * j / 8,
                )
                for i in steps
                for j in steps
            ]
            # The nearest of 81 places is at most half a step away from the nearest place of all.
            step = (
                math.radians(max(box.max_lat - box.min_lat, box.max_lon - box.min_lon)) / 8 * EARTH_RADIUS_M
            )
            assert min(distance_m(place, corridor.points) for place in places) <= allowed + 0.75 * step


def test_a_corridor_over_the_antimeridian_lies_on_both_sides_of_it() -> None:
    spans = merged_spans(Area((Corridor([(179.9, 10.0), (-179.9, 10.0)], 5_000),)), 10)
    assert int(spans.min_x.min()) == 0
    assert int(spans.max_x.max()) == 1023
    assert spans.tiles < 20


def test_a_corridor_over_the_pole_holds_whole_rows_there() -> None:
    spans = merged_spans(Area((Corridor([(10.0, 84.0), (-170.0, 84.0)], 600_000),)), 4)
    assert [0, 0, 15] in [
        list(row) for row in zip(spans.y.tolist(), spans.min_x.tolist(), spans.max_x.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("points", "half_width_m", "message"),
    [
        ([], 5.0, "at least one point"),
        ([(0, 91)], 5.0, "lat must be"),
        ([(181, 0)], 5.0, "lon must be"),
        ([(0, 0)], -1.0, "half_width_m must be"),
        ([(0, 0)], math.nan, "half_width_m must be"),
        ([(0, 0)], 2e6, "half_width_m must be"),
        ([(0, 0), (120, 0)], 5.0, "put a point between them"),
    ],
)
def test_an_impossible_corridor_is_refused(points: list[Point], half_width_m: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Corridor(points, half_width_m)
