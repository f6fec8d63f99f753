"""Shapes on the ground: boxes, circles, corridors, polygons; and whether one shares a point with a box.

Within a band of latitudes the longitudes that a shape reaches are a few intervals. A shape shares a point
with a box when one of the intervals of the box's band does. A polygon's interval is never too short: rounding
makes it touch a box that it misses by less than twice `ROUNDING`, and never miss one that it touches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import attrs

from .corridors import Corridor
from .tile_grid import Bbox, Longitudes, Point, taken_points
from .validators import check_number, check_real, plain_numbers, taken

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth, (2a + b) / 3 of WGS 84 (Moritz 2000), for great-circle distances."""
MAX_RADIUS_M = 10_000_000.0
"""A quarter of the way around the Earth; no aircraft knows less about its place."""
ROUNDING = 1e-12
"""In degrees, more than four times what `crossing` can be off: five roundings of 360 and one of 180."""

Line = tuple[Point, Point]
"""A straight line between two points, in longitude and latitude."""


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
        check_number("lat", self.lat, -90.0, 90.0)
        check_number("lon", self.lon, -180.0, 180.0)
        check_number("radius_m", self.radius_m, 0.0, MAX_RADIUS_M)

    def latitudes(self) -> tuple[float, float]:
        """The southernmost and the northernmost latitude, in degrees."""
        reach = math.degrees(self.radius_m / EARTH_RADIUS_M)
        return max(-90.0, self.lat - reach), min(90.0, self.lat + reach)

    def longitudes(self, south: float, north: float) -> list[Longitudes]:
        """The longitudes that the circle reaches between two latitudes in degrees, edges included."""
        south, north = check_real(south, "south"), check_real(north, "north")
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
    checked = tuple(_ring(ring) for ring in taken(rings, "rings", "rings"))
    if not checked:
        raise ValueError("rings must hold at least the outer one, got none")
    return checked


def _ring(points: Iterable[Point]) -> tuple[Point, ...]:
    ring = taken_points(points, "rings")
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
    bbox: Bbox = attrs.field(init=False, repr=False, eq=False)
    """The smallest box around it."""

    def __attrs_post_init__(self) -> None:
        lons, lats = zip(*(point for ring in self.rings for point in ring), strict=True)
        object.__setattr__(self, "bbox", Bbox(min(lats), min(lons), max(lats), max(lons)))

    def lines(self) -> Iterator[Line]:
        """Every line of every ring, in the order of its points; the last leads back to the first point."""
        for ring in self.rings:
            yield from zip(ring, (*ring[1:], ring[0]), strict=True)

    def longitudes(self, south: float, north: float) -> list[Longitudes]:
        """The longitudes that the polygon reaches between two latitudes in degrees, edges included.

        They are those of its lines within the band, and between them those that are inside on the band's
        lower edge: where no line passes through a part of the band, all of that part is inside or none.
        """
        south, north = check_real(south, "south"), check_real(north, "north")
        reached, crossings = [], []
        for line in self.lines():
            within = reach_of(line, south, north)
            if within is not None:
                reached.append(within)
            if passes(line, south):
                crossings.append(crossing(line, south))
        crossings.sort()
        return [*reached, *zip(crossings[::2], crossings[1::2], strict=True)]


def _polygons(polygons: Iterable[Polygon]) -> tuple[Polygon, ...]:
    checked = taken(polygons, "polygons", "Polygon")
    if not checked or not all(isinstance(polygon, Polygon) for polygon in checked):
        raise ValueError(f"polygons must be one Polygon or more, got {checked!r}")
    return checked


@attrs.frozen
class MultiPolygon:
    """The ground within any of several polygons. Raises `ValueError` for none, and for what is no polygon."""

    polygons: tuple[Polygon, ...] = attrs.field(converter=_polygons)
    """They may touch and overlap; a shape across the antimeridian is two."""
    bbox: Bbox = attrs.field(init=False, repr=False, eq=False)
    """The smallest box around all of them."""

    def __attrs_post_init__(self) -> None:
        boxes = [polygon.bbox for polygon in self.polygons]
        around = Bbox(
            min(box.min_lat for box in boxes),
            min(box.min_lon for box in boxes),
            max(box.max_lat for box in boxes),
            max(box.max_lon for box in boxes),
        )
        object.__setattr__(self, "bbox", around)

    def longitudes(self, south: float, north: float) -> list[Longitudes]:
        """The longitudes that its polygons reach between two latitudes in degrees, edges included."""
        return [reached for polygon in self.polygons for reached in polygon.longitudes(south, north)]


def passes(line: Line, latitude: float) -> bool:
    """Whether a line leads from one side of a latitude to the other; its own latitude is south of a point."""
    (_, lat_a), (_, lat_b) = line
    return (lat_a > latitude) is not (lat_b > latitude)


def crossing(line: Line, latitude: float) -> float:
    """The longitude at which a line passes a latitude within its own, never beyond its ends."""
    (lon_a, lat_a), (lon_b, lat_b) = line
    lon = lon_a + (latitude - lat_a) / (lat_b - lat_a) * (lon_b - lon_a)
    return min(max(lon, min(lon_a, lon_b)), max(lon_a, lon_b))


def reach_of(line: Line, south: float, north: float) -> Longitudes | None:
    """The longitudes of a line between two latitudes, rounding added; None where it does not reach them.

    Lines along a meridian or a parallel, and the ends of lines, are not rounded.
    """
    (lon_a, lat_a), (lon_b, lat_b) = line
    if max(lat_a, lat_b) < south or min(lat_a, lat_b) > north:
        return None
    ends = [lon for lon, lat in line if south <= lat <= north]
    if lat_a != lat_b:
        low, high = min(lat_a, lat_b), max(lat_a, lat_b)
        ends += [crossing(line, latitude) for latitude in (south, north) if low <= latitude <= high]
    west, east = min(lon_a, lon_b), max(lon_a, lon_b)
    return max(min(ends) - ROUNDING, west), min(max(ends) + ROUNDING, east)


Shape: TypeAlias = Bbox | Circle | Corridor | Polygon | MultiPolygon


def corners_of(box: Bbox) -> tuple[Point, ...]:
    """The corners of a box, counterclockwise from the south-west."""
    return (
        (box.min_lon, box.min_lat),
        (box.max_lon, box.min_lat),
        (box.max_lon, box.max_lat),
        (box.min_lon, box.max_lat),
    )


def parts_of(shape: Bbox | Polygon | MultiPolygon) -> tuple[Bbox | Polygon, ...]:
    """The single boxes and polygons of a shape."""
    return shape.polygons if isinstance(shape, MultiPolygon) else (shape,)


def latitudes_of(shape: Shape) -> tuple[float, float]:
    """The southernmost and the northernmost latitude of a shape, in degrees."""
    if isinstance(shape, (Circle, Corridor)):
        return shape.latitudes()
    box = shape if isinstance(shape, Bbox) else shape.bbox
    return box.min_lat, box.max_lat


def longitudes_of(shape: Shape, south: float, north: float) -> list[Longitudes]:
    """The longitudes that a shape reaches between two latitudes in degrees, edges included."""
    return [(shape.min_lon, shape.max_lon)] if isinstance(shape, Bbox) else shape.longitudes(south, north)


def shares_point(shape: Shape, box: Bbox) -> bool:
    """Whether a shape has a point in the box or on its edge."""
    south, north = latitudes_of(shape)
    if box.max_lat < south or box.min_lat > north:
        return False
    reached = longitudes_of(shape, box.min_lat, box.max_lat)
    return any(west <= box.max_lon and box.min_lon <= east for west, east in reached)
