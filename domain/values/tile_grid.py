"""The Web-Mercator tile grid (XYZ scheme, EPSG:3857): where a tile lies and which tile covers a place.

Formulas: OGC Two Dimensional Tile Matrix Set, WebMercatorQuad; x grows east from the antimeridian, y grows
south from the northern edge.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator

import attrs

from .validators import (
    as_real,
    as_whole,
    check_kind,
    check_number,
    check_real,
    check_whole,
    is_real,
    is_whole,
    plain_numbers,
    taken,
)

MAX_ZOOM = 22
MAX_LATITUDE = 85.0511287798066
"""Latitude in degrees at which the projected world becomes a square: atan(sinh(pi))."""
EARTH_CIRCUMFERENCE_M = 2 * math.pi * 6_378_137.0
"""Length of the equator of the WGS 84 sphere that Web Mercator uses, in metres."""

Longitudes = tuple[float, float]
"""From west to east in degrees, edges included, within -180..180."""
Point = tuple[float, float]
"""Longitude and latitude in degrees, in GeoJSON's order."""


def _finite_within(low: float, high: float) -> _RangeValidator:
    return _RangeValidator(low, high)


@attrs.frozen
class _RangeValidator:
    low: float
    high: float

    def __call__(self, instance: object, attribute: attrs.Attribute[float], value: float) -> None:
        # The negated comparison also refuses NaN.
        if not is_real(value) or not self.low <= value <= self.high:
            raise ValueError(f"{attribute.name} must be within {self.low}..{self.high}, got {value!r}")


@attrs.frozen(field_transformer=plain_numbers)
class Bbox:
    """A box in degrees (WGS 84), edges included. Across the antimeridian it is expressed as two boxes."""

    min_lat: float = attrs.field(validator=_finite_within(-90.0, 90.0))
    """Southern edge."""
    min_lon: float = attrs.field(validator=_finite_within(-180.0, 180.0))
    """Western edge."""
    max_lat: float = attrs.field(validator=_finite_within(-90.0, 90.0))
    """Northern edge."""
    max_lon: float = attrs.field(validator=_finite_within(-180.0, 180.0))
    """Eastern edge."""

    def __attrs_post_init__(self) -> None:
        if self.min_lat > self.max_lat:
            raise ValueError(f"min_lat {self.min_lat!r} is north of max_lat {self.max_lat!r}")
        if self.min_lon > self.max_lon:
            raise ValueError(
                f"min_lon {self.min_lon!r} is east of max_lon {self.max_lon!r}; "
                "a box across the antimeridian is two boxes"
            )

    @classmethod
    def of_place(cls, lat: float, lon: float) -> Bbox:
        """The box that holds one place alone. Raises `ValueError` for a place that is not on the globe."""
        lat = _degrees("lat", lat, 90.0, "-90..90")
        lon = _degrees("lon", lon, 180.0, "-180..180")
        return cls(lat, lon, lat, lon)

    def intersects(self, other: Bbox) -> bool:
        """Whether the two boxes share at least one point; a common edge or corner counts."""
        check_kind(other, Bbox, "other")
        return (
            self.min_lat <= other.max_lat
            and other.min_lat <= self.max_lat
            and self.min_lon <= other.max_lon
            and other.min_lon <= self.max_lon
        )

    def contains(self, lat: float, lon: float) -> bool:
        """Whether the point lies in the box or on its edge."""
        lat, lon = check_real(lat, "lat"), check_real(lon, "lon")
        return self.min_lat <= lat <= self.max_lat and self.min_lon <= lon <= self.max_lon


def check_zoom(zoom_level: int) -> int:
    """The zoom as a plain number. Raises `ValueError` unless it is an integer within 0..22."""
    plain: int = as_whole(zoom_level)
    if not is_whole(plain) or not 0 <= plain <= MAX_ZOOM:
        raise ValueError(f"zoom_level must be an integer within 0..{MAX_ZOOM}, got {zoom_level!r}")
    return plain


def taken_points(points: Iterable[Point], name: str) -> tuple[Point, ...]:
    """Points with plain numbers. Raises `TypeError` or `ValueError` unless each is a place on Earth."""
    return tuple(_point(point, name) for point in taken(points, name, "(longitude, latitude)"))


def _point(point: Point, name: str) -> Point:
    try:
        lon, lat = point
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be made of (longitude, latitude), got {point!r}") from None
    lon, lat = as_real(lon), as_real(lat)
    check_number("lon", lon, -180.0, 180.0)
    check_number("lat", lat, -90.0, 90.0)
    return lon, lat


def check_place(zoom_level: int, **columns_and_rows: int) -> None:
    """Raise `ValueError` unless the zoom is one of the grid, and the others are on the grid at that zoom."""
    size = 1 << check_zoom(zoom_level)
    for name, value in columns_and_rows.items():
        if not 0 <= check_whole(value, name) < size:
            raise ValueError(f"{name} must be within 0..{size - 1} at zoom {zoom_level}, got {value!r}")


def _degrees(name: str, value: float, limit: float, shown: str) -> float:
    plain = check_real(value, name, " of degrees")
    if not abs(plain) <= limit:
        raise ValueError(f"{name} must be within {shown}, got {value!r}")
    return plain


def column_and_row(lat: float, lon: float, zoom_level: int) -> tuple[int, int]:
    """The (x, y) of the tile that covers a place.

    The last column and row include the eastern and southern edge of the world.
    Raises `ValueError` for non-finite values, |lat| > 85.0511287798066, lon outside -180..180.
    """
    size = 1 << check_zoom(zoom_level)
    lat = _degrees("lat", lat, MAX_LATITUDE, f"±{MAX_LATITUDE}")
    lon = _degrees("lon", lon, 180.0, "-180..180")
    sine = math.sin(math.radians(lat))
    x = math.floor((lon / 360.0 + 0.5) * size)
    y = math.floor((0.5 - math.log((1 + sine) / (1 - sine)) / (4 * math.pi)) * size)
    return min(max(x, 0), size - 1), min(max(y, 0), size - 1)


def north_west_corner(x: float, y: float, zoom_level: int) -> tuple[float, float]:
    """Latitude and longitude in degrees of a (possibly fractional) grid position's north-west corner."""
    size = 1 << zoom_level
    lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / size))))
    return max(-90.0, min(90.0, lat)), x / size * 360.0 - 180.0


def tile_bbox(x: int, y: int, zoom_level: int) -> Bbox:
    """The box that a tile covers."""
    max_lat, min_lon = north_west_corner(x, y, zoom_level)
    min_lat, max_lon = north_west_corner(x + 1, y + 1, zoom_level)
    return Bbox(min_lat, min_lon, max_lat, max_lon)


def ground_sample_distance(lat: float, zoom_level: int, tile_size_pixels: int = 256) -> float:
    """Metres of ground per pixel at a latitude: equator length * cos(lat) / pixels around the world.

    Raises `ValueError` for a latitude beyond the poles, a zoom outside 0..22 and a size below 1 pixel.
    """
    pixels: int = as_whole(tile_size_pixels)
    if not is_whole(pixels) or pixels < 1:
        raise ValueError(f"tile_size_pixels must be a whole number of 1 or more, got {tile_size_pixels!r}")
    lat = _degrees("lat", lat, 90.0, "-90..90")
    return EARTH_CIRCUMFERENCE_M * math.cos(math.radians(lat)) / (pixels << check_zoom(zoom_level))


@attrs.frozen(field_transformer=plain_numbers)
class GridRange:
    """A rectangle of tiles at one zoom, edges included. Raises `ValueError` for one beyond the grid."""

    zoom_level: int
    """0 to 22."""
    min_x: int
    """Western column."""
    min_y: int
    """Northern row."""
    max_x: int
    """Eastern column, included."""
    max_y: int
    """Southern row, included."""

    def __attrs_post_init__(self) -> None:
        check_place(self.zoom_level, min_x=self.min_x, min_y=self.min_y, max_x=self.max_x, max_y=self.max_y)
        for low, high in (("min_x", "max_x"), ("min_y", "max_y")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} {getattr(self, low)} is beyond {high} {getattr(self, high)}")

    @classmethod
    def covering(cls, bbox: Bbox, zoom_level: int) -> GridRange:
        """Every tile that covers a point of the box; a point on a border belongs to the south-eastern tile.

        Latitudes beyond the projection are cut to its edge.
        """
        check_kind(bbox, Bbox, "bbox")
        north = max(-MAX_LATITUDE, min(MAX_LATITUDE, bbox.max_lat))
        south = max(-MAX_LATITUDE, min(MAX_LATITUDE, bbox.min_lat))
        zoom_level = check_zoom(zoom_level)
        min_x, min_y = column_and_row(north, bbox.min_lon, zoom_level)
        max_x, max_y = column_and_row(south, bbox.max_lon, zoom_level)
        return cls(zoom_level, min_x, min_y, max_x, max_y)

    def __len__(self) -> int:
        return (self.max_x - self.min_x + 1) * (self.max_y - self.min_y + 1)

    def __contains__(self, place: tuple[int, int]) -> bool:
        x, y = place
        return self.min_x <= x <= self.max_x and self.min_y <= y <= self.max_y

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for x in range(self.min_x, self.max_x + 1):
            for y in range(self.min_y, self.max_y + 1):
                yield x, y


def range_around(ranges: Collection[GridRange]) -> GridRange:
    """The smallest rectangle around one rectangle or more, all of one zoom."""
    (zoom_level,) = {one.zoom_level for one in ranges}
    return GridRange(
        zoom_level,
        min(one.min_x for one in ranges),
        min(one.min_y for one in ranges),
        max(one.max_x for one in ranges),
        max(one.max_y for one in ranges),
    )


def shared_range(one: GridRange, other: GridRange) -> GridRange | None:
    """The tiles of both rectangles, which are of one zoom; None for none."""
    min_x, min_y = max(one.min_x, other.min_x), max(one.min_y, other.min_y)
    max_x, max_y = min(one.max_x, other.max_x), min(one.max_y, other.max_y)
    if min_x > max_x or min_y > max_y:
        return None
    return GridRange(one.zoom_level, min_x, min_y, max_x, max_y)
