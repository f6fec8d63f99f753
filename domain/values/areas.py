"""Areas of the ground that a search is held to, and which tiles of the grid share a point with them.

An area is a set of shapes (boxes, circles, polygons) at given zooms or at all. A tile is in when its box,
edges included, shares a point with a shape. Every shape answers row of tiles by row of tiles: within the band
of latitudes that a row covers, the longitudes that a shape reaches are a few intervals, so the tiles that it
touches are a few spans of columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import attrs

from .tile_grid import MAX_LATITUDE, Bbox, check_zoom, column_and_row, tile_bbox
from .validators import as_real, is_real, plain_numbers

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth, (2a + b) / 3 of WGS 84 (Moritz 2000), for great-circle distances."""
MAX_RADIUS_M = 10_000_000.0
"""A quarter of the way around the Earth; no aircraft knows less about its place."""

Longitudes = tuple[float, float]
"""From west to east in degrees, edges included, within -180..180."""
Point = tuple[float, float]
"""Longitude and latitude in degrees, in GeoJSON's order."""


def _check_number(name: str, value: float, low: float, high: float) -> None:
    if not is_real(value) or not low <= value <= high:
        raise ValueError(f"{name} must be a number within {low}..{high}, got {value!r}")


@attrs.frozen(field_transformer=plain_numbers)
class Circle:
    """All places within a great-circle distance of a point. Raises `ValueError` for impossible numbers."""

    lat: float
    """Of the centre, in degrees within -90..90."""
    lon: float
    """Of the centre, in degrees within -180..180."""
    radius_m: float
    """In metres on the sphere of `EARTH_RADIUS_M`, from 0 to `MAX_RADIUS_M`."""

    def __attrs_post_init__(self) -> None:
        _check_number("lat", self.lat, -90.0, 90.0)
        _check_number("lon", self.lon, -180.0, 180.0)
        _check_number("radius_m", self.radius_m, 0.0, MAX_RADIUS_M)

    def latitudes(self) -> tuple[float, float]:
        """The southernmost and the northernmost latitude, in degrees."""
        reach = math.degrees(self.radius_m / EARTH_RADIUS_M)
        return max(-90.0, self.lat - reach), min(90.0, self.lat + reach)

    def longitudes(self, south: float, north: float) -> list[Longitudes]:
        """The longitudes that the circle reaches between two latitudes in degrees, edges included."""
        half_width = self._half_width(south, north)
        if half_width is None:
            return []
        west, east = self.lon - half_width, self.lon + half_width
        if half_width >= 180.0:
            return [(-180.0, 180.0)]
        if west < -180.0:
            return [(-180.0, east), (west + 360.0, 180.0)]
        if east > 180.0:
            return [(-180.0, east - 360.0), (west, 180.0)]
        # A meridian has two names where the world is cut.
        both = [(west, east)]
        if west == -180.0:
            both.append((180.0, 180.0))
        if east == 180.0:
            both.append((-180.0, -180.0))
        return both

    def _half_width(self, south: float, north: float) -> float | None:
        """How far east and west of its centre the circle reaches in a band of latitudes; degrees or None.

        A point at latitude p and longitude difference l is at the angle d with
        cos d = sin(lat) sin(p) + cos(lat) cos(p) cos(l). Over the latitudes of a circle around no pole, l is
        greatest where a meridian touches the circle: sin(p) = sin(lat) / cos(d), sin(l) = sin(d) / cos(lat).
        """
        lowest, highest = self.latitudes()
        south, north = max(south, lowest), min(north, highest)
        if south > north:
            return None
        centre, angle = math.radians(self.lat), self.radius_m / EARTH_RADIUS_M
        if lowest > -90.0 and highest < 90.0:
            touching = math.degrees(math.asin(math.sin(centre) / math.cos(angle)))
            if south <= touching <= north:
                return math.degrees(math.asin(min(1.0, math.sin(angle) / math.cos(centre))))
        return max(self._half_width_at(latitude) for latitude in (south, north))

    def _half_width_at(self, latitude: float) -> float:
        centre, parallel = math.radians(self.lat), math.radians(latitude)
        angle = self.radius_m / EARTH_RADIUS_M
        across = math.cos(centre) * math.cos(parallel)
        along = math.cos(angle) - math.sin(centre) * math.sin(parallel)
        if along <= -across:  # the whole parallel, a pole's single point too
            return 180.0
        return math.degrees(math.acos(min(1.0, along / across)))


def _rings(rings: Iterable[Iterable[Point]]) -> tuple[tuple[Point, ...], ...]:
    checked = tuple(_ring(ring) for ring in rings)
    if not checked:
        raise ValueError("a polygon has at least an outer ring, got none")
    return checked


def _ring(points: Iterable[Point]) -> tuple[Point, ...]:
    ring = tuple((as_real(lon), as_real(lat)) for lon, lat in points)
    for lon, lat in ring:
        _check_number("lon", lon, -180.0, 180.0)
        _check_number("lat", lat, -90.0, 90.0)
    if len(ring) > 1 and ring[0] == ring[-1]:
        ring = ring[:-1]
    if len(set(ring)) < 3:
        raise ValueError(f"a ring has at least three different points, got {ring!r}")
    return ring


@attrs.frozen
class Polygon:
    """The ground within closed rings of straight lines between longitudes and latitudes (RFC 7946).

    The first ring is the outer one, the others are holes; a point is inside when it is inside an odd number
    of them, or on a line. A ring may repeat its first point at its end. Across the antimeridian it is two.
    Raises `ValueError` for a ring of fewer than three different points and for points that are no places.
    """

    rings: tuple[tuple[Point, ...], ...] = attrs.field(converter=_rings)
    """Longitudes and latitudes in degrees, the outer ring first; no ring repeats its first point."""

    def latitudes(self) -> tuple[float, float]:
        """The southernmost and the northernmost latitude, in degrees."""
        latitudes = [lat for ring in self.rings for _, lat in ring]
        return min(latitudes), max(latitudes)

    def longitudes(self, south: float, north: float) -> list[Longitudes]:
        """The longitudes that the polygon reaches between two latitudes in degrees, edges included.

        They are those of its lines within the band, and between them those that are inside on the band's
        lower edge: where no line passes through a part of the band, all of that part is inside or none.
        """
        reached, crossings = [], []
        for (lon_a, lat_a), (lon_b, lat_b) in self._lines():
            if max(lat_a, lat_b) >= south and min(lat_a, lat_b) <= north:
                at = [_longitude_at(lon_a, lat_a, lon_b, lat_b, lat) for lat in (south, north)]
                inside = [lon for lon, lat in ((lon_a, lat_a), (lon_b, lat_b)) if south <= lat <= north]
                ends = [lon for lon in (*at, *inside) if lon is not None]
                reached.append((min(ends), max(ends)))
            if (lat_a > south) is not (lat_b > south):
                crossings.append(_crossing(lon_a, lat_a, lon_b, lat_b, south))
        crossings.sort()
        return [*reached, *zip(crossings[::2], crossings[1::2], strict=True)]

    def _lines(self) -> Iterator[tuple[Point, Point]]:
        for ring in self.rings:
            yield from zip(ring, (*ring[1:], ring[0]), strict=True)


def _longitude_at(lon_a: float, lat_a: float, lon_b: float, lat_b: float, latitude: float) -> float | None:
    """Where a line passes a latitude; None where it does not, or runs along it."""
    if lat_a == lat_b or not min(lat_a, lat_b) <= latitude <= max(lat_a, lat_b):
        return None
    return _crossing(lon_a, lat_a, lon_b, lat_b, latitude)


def _crossing(lon_a: float, lat_a: float, lon_b: float, lat_b: float, latitude: float) -> float:
    return lon_a + (latitude - lat_a) / (lat_b - lat_a) * (lon_b - lon_a)


Shape: TypeAlias = Bbox | Circle | Polygon


@attrs.frozen
class TileSpan:
    """Neighbouring tiles of one row of the grid, both ends included."""

    y: int
    """The row."""
    min_x: int
    """The westernmost column."""
    max_x: int
    """The easternmost column."""


def _shapes(shapes: Iterable[Shape]) -> tuple[Shape, ...]:
    return tuple(shapes)


def _zooms(zooms: Iterable[int] | None) -> frozenset[int] | None:
    return None if zooms is None else frozenset(map(check_zoom, zooms))


@attrs.frozen
class Area:
    """Where a search looks. Raises `ValueError` without a shape, and for zooms outside 0..22 or none."""

    shapes: tuple[Shape, ...] = attrs.field(converter=_shapes)
    """At least one; a tile is in when it touches any of them."""
    zooms: frozenset[int] | None = attrs.field(default=None, converter=_zooms)
    """None: whatever zooms there are."""

    def __attrs_post_init__(self) -> None:
        if not self.shapes:
            raise ValueError("an area has at least one shape, got none")
        for shape in self.shapes:
            if not isinstance(shape, (Bbox, Circle, Polygon)):
                raise ValueError(f"an area is made of boxes, circles and polygons, got {shape!r}")
        if self.zooms is not None and not self.zooms:
            raise ValueError("an area without zooms holds no tile; leave zooms out for all of them")

    @classmethod
    def around(cls, lat: float, lon: float, radius_m: float, zooms: Iterable[int] | None = None) -> Area:
        """Everything within `radius_m` metres of a place."""
        return cls((Circle(lat, lon, radius_m),), zooms)

    def spans(self, zoom_level: int) -> Iterator[TileSpan]:
        """The tiles of one zoom that share a point with a shape, row by row within each shape.

        Shapes that overlap name a tile more than once. Nothing for a zoom that the area leaves out.
        """
        zoom_level = check_zoom(zoom_level)
        if self.zooms is None or zoom_level in self.zooms:
            for shape in self.shapes:
                yield from _spans(shape, zoom_level)

    def touches(self, zoom_level: int, x: int, y: int) -> bool:
        """Whether the area holds this tile."""
        if self.zooms is not None and zoom_level not in self.zooms:
            return False
        return any(_touches(shape, tile_bbox(x, y, zoom_level)) for shape in self.shapes)


def _latitudes(shape: Shape) -> tuple[float, float]:
    return (shape.min_lat, shape.max_lat) if isinstance(shape, Bbox) else shape.latitudes()


def _longitudes(shape: Shape, south: float, north: float) -> list[Longitudes]:
    return [(shape.min_lon, shape.max_lon)] if isinstance(shape, Bbox) else shape.longitudes(south, north)


def _touches(shape: Shape, box: Bbox) -> bool:
    south, north = _latitudes(shape)
    if box.max_lat < south or box.min_lat > north:
        return False
    reached = _longitudes(shape, box.min_lat, box.max_lat)
    return any(west <= box.max_lon and box.min_lon <= east for west, east in reached)


def _spans(shape: Shape, zoom_level: int) -> Iterator[TileSpan]:
    south, north = _latitudes(shape)
    if north < -MAX_LATITUDE or south > MAX_LATITUDE:
        return
    last = (1 << zoom_level) - 1
    _, first_row = column_and_row(min(north, MAX_LATITUDE), 0.0, zoom_level)
    _, last_row = column_and_row(max(south, -MAX_LATITUDE), 0.0, zoom_level)
    # A row whose edge is touched from outside belongs too; the grid gives a point to one row alone.
    for y in range(max(0, first_row - 1), min(last, last_row + 1) + 1):
        band = tile_bbox(0, y, zoom_level)
        if band.max_lat < south or band.min_lat > north:
            continue
        for west, east in _longitudes(shape, band.min_lat, band.max_lat):
            yield TileSpan(y, _first_column(west, zoom_level), _last_column(east, zoom_level))


def _first_column(west: float, zoom_level: int) -> int:
    """The westernmost column whose eastern edge is at `west` or beyond."""
    size = 1 << zoom_level
    x = min(max(math.ceil((west / 360.0 + 0.5) * size) - 1, 0), size - 1)
    while x > 0 and _eastern_edge(x - 1, size) >= west:
        x -= 1
    while _eastern_edge(x, size) < west:
        x += 1
    return x


def _last_column(east: float, zoom_level: int) -> int:
    """The easternmost column whose western edge is at `east` or before."""
    size = 1 << zoom_level
    x = min(max(math.floor((east / 360.0 + 0.5) * size), 0), size - 1)
    while x < size - 1 and _eastern_edge(x, size) <= east:
        x += 1
    while _eastern_edge(x - 1, size) > east:
        x -= 1
    return x


def _eastern_edge(x: int, size: int) -> float:
    return (x + 1) / size * 360.0 - 180.0
