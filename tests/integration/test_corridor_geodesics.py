"""Corridors beside geodesics on the ellipsoid, as PROJ has them."""

from __future__ import annotations

import math

import pytest
from random_seed import random_of

from aerotile.domain.values.areas import Area, merged_spans
from aerotile.domain.values.corridors import GEODESIC_DEVIATION, Corridor, line_lengths_m

warp = pytest.importorskip("rasterio.warp")


def around(lon: float, lat: float, metres: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The places at metres east and north of a place, along geodesics of WGS 84."""
    projection = f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +ellps=WGS84"
    xs, ys = zip(*metres, strict=True)
    return list(zip(*warp.transform(projection, "EPSG:4326", xs, ys), strict=True))


def test_no_place_within_the_distance_of_a_geodesic_is_missed() -> None:
    drawn = random_of("no place within")
    for _ in range(25):
        lon, lat = drawn.uniform(-180, 180), drawn.uniform(-80, 80)
        bearing, length = drawn.uniform(0, math.tau), 10 ** drawn.uniform(3, 6.3)
        half_width, zoom = drawn.choice([100.0, 5_000.0, 20_000.0]), drawn.randint(8, 14)
        parts = [0.0, *sorted(drawn.random() for _ in range(6)), 1.0]
        line = around(
            lon, lat, [(length * p * math.sin(bearing), length * p * math.cos(bearing)) for p in parts]
        )
        if max(abs(place[1]) for place in line) > 84.5:
            continue
        _, xs, ys = merged_spans(Area((Corridor([line[0], line[-1]], half_width),)), zoom).cells()
        named, size = set(zip(xs.tolist(), ys.tolist(), strict=True)), 1 << zoom
        for place in line:
            turns = [drawn.uniform(0, math.tau) for _ in range(12)]
            edge = around(
                *place, [(half_width * math.sin(turn), half_width * math.cos(turn)) for turn in turns]
            )
            for near_lon, near_lat in edge:
                if abs(near_lat) < 85.05:
                    x = int((near_lon / 360 + 0.5) * size) % size
                    y = int((0.5 - math.asinh(math.tan(math.radians(near_lat))) / math.tau) * size)
                    assert (x, y) in named, (line, half_width, zoom, near_lon, near_lat)


def test_a_great_circle_leaves_the_geodesic_by_less_than_the_margin() -> None:
    drawn = random_of("great circle")
    for _ in range(25):
        lon, lat = drawn.uniform(-170, 170), drawn.uniform(-75, 75)
        bearing, length = drawn.uniform(0, math.tau), 10 ** drawn.uniform(4.7, 6.7)
        far = around(
            lon, lat, [(length * p * math.sin(bearing), length * p * math.cos(bearing)) for p in (0.5, 1.0)]
        )
        a, m, b = (
            (math.cos(y) * math.cos(x), math.cos(y) * math.sin(x), math.sin(y))
            for x, y in (map(math.radians, place) for place in ((lon, lat), *far))
        )
        pole = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
        across = sum(p * q for p, q in zip(pole, m, strict=True)) / math.hypot(*pole)
        assert abs(math.asin(across)) * 6_399_594 <= GEODESIC_DEVIATION * length**2


def test_a_line_is_never_told_too_short() -> None:
    drawn = random_of("line")
    for _ in range(25):
        lon, lat = drawn.uniform(-180, 180), drawn.uniform(-85, 85)
        bearing, length = drawn.uniform(0, math.tau), 10 ** drawn.uniform(2, 6.5)
        (end,) = around(lon, lat, [(length * math.sin(bearing), length * math.cos(bearing))])
        told = float(line_lengths_m([(lon, lat), end])[0])
        assert length * 0.999999 <= told <= length * 1.011
