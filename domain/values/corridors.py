"""Corridors: the ground within a distance of a line of great circles, and the tiles that it touches.

A corridor is the union of discs that lie close together along its line. Each disc is a little wider than the
corridor, so that no ground of the corridor lies between two of them. A disc is exact on a sphere: near the
poles, around a pole and across the antimeridian.

Distances are those on the ellipsoid of WGS 84, and the safe side is the wider one. An angle on the sphere is
a distance over the smallest radius of curvature that the ellipsoid has there, and the great circle's
deviation from the geodesic is added. So no tile within the distance is missed; a tile that is named lies at
most 1 % (never less than 11 m) and `GEODESIC_DEVIATION` times the square of a line's length farther away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from .tile_grid import MAX_LATITUDE, Longitudes, Point, taken_points
from .validators import as_real, check_number, check_real

MAX_HALF_WIDTH_M = 1_000_000.0
LONGEST_LINE_M = 10_000_000.0
"""Between more distant points the way of an aircraft is not known."""
GEODESIC_DEVIATION = 1e-10
"""Metres for each square metre of a line's length: great circles leave the geodesic by 0.7e-10 at most."""

_SEMI_MAJOR_M = 6_378_137.0
_LARGEST_RADIUS_M = 6_399_594.0
"""Of curvature, at the poles: no line on the ellipsoid is longer than its angle times this."""
_ECCENTRICITY_SQUARED = 0.00669437999014
_DISCS_TO_EACH_SIDE = 8
_SMALLEST_STEP_M = 20.0
_ROUNDING_M = 0.001
_EDGE = 1e-9
"""Of a tile's width: a corridor this close to a tile's edge touches it."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def _points(points: Iterable[Point]) -> tuple[Point, ...]:
    checked = taken_points(points, "points")
    if not checked:
        raise ValueError("points must hold at least one point, got none")
    return checked


@attrs.frozen(eq=False)
class Discs:
    """Discs on the sphere, all in radians; arrays of one length."""

    lat: Floats
    lon: Floats
    radius: Floats

    def __len__(self) -> int:
        return len(self.lat)

    @classmethod
    def joined(cls, parts: Sequence[Discs]) -> Discs:
        """The discs of all parts, one after the other."""
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("lat", "lon", "radius"))
        )


@attrs.frozen
class Corridor:
    """All ground within `half_width_m` metres to each side of a line. One point alone is a disc.

    Raises `ValueError` for impossible numbers and for more than 10,000 km between two points.
    """

    points: tuple[Point, ...] = attrs.field(converter=_points)
    """Longitudes and latitudes in degrees; the shortest way leads from each to the next."""
    half_width_m: float = attrs.field(converter=as_real)
    """To each side, in metres from 0 to `MAX_HALF_WIDTH_M`."""
    _discs: Discs = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        check_number("half_width_m", self.half_width_m, 0.0, MAX_HALF_WIDTH_M)
        object.__setattr__(self, "_discs", discs_along(self.points, self.half_width_m))

    def latitudes(self) -> tuple[float, float]:
        """The southernmost and the northernmost latitude, in degrees."""
        discs = self._discs
        south, north = (
            np.degrees((discs.lat - discs.radius).min()),
            np.degrees((discs.lat + discs.radius).max()),
        )
        return max(-90.0, float(south)), min(90.0, float(north))

    def longitudes(self, south: float, north: float) -> list[Longitudes]:
        """The longitudes that the corridor reaches between two latitudes in degrees, edges included."""
        south, north = check_real(south, "south"), check_real(north, "north")
        widths = half_widths(self._discs, np.radians(south), np.radians(north))
        reached: list[Longitudes] = []
        for lon, width in zip(np.degrees(self._discs.lon).tolist(), np.degrees(widths).tolist(), strict=True):
            if width >= 180.0:
                return [(-180.0, 180.0)]
            if width >= 0.0:
                west, east = lon - width, lon + width
                reached.append((max(west, -180.0), min(east, 180.0)))
                # A meridian has two names where the world is cut.
                if west <= -180.0:
                    reached.append((west + 360.0, 180.0))
                if east >= 180.0:
                    reached.append((-180.0, east - 360.0))
        return reached


def corridor_spans(corridor: Corridor, zoom_level: int) -> RowSpans:
    """The tiles of one zoom that share a point with a corridor, each once, all of the owner 0."""
    discs = corridor._discs
    return disc_spans(discs, np.zeros(len(discs), np.int64), zoom_level)


def line_lengths_m(points: Sequence[Point]) -> Floats:
    """The length of each line of a chain in metres: never too short, at most 1.1 % too long."""
    ends = _vectors(points)
    return _angles(ends[:-1], ends[1:]) * _LARGEST_RADIUS_M


def check_lines(lengths_m: Floats) -> None:
    """Raise `ValueError` where a line of a chain, told by its length, is too long for its way to be known."""
    at = int(np.argmax(lengths_m))
    if lengths_m[at] > LONGEST_LINE_M:
        raise ValueError(
            f"from point {at + 1} to point {at + 2} it is {lengths_m[at] / 1000:.0f} km, "
            f"more than {LONGEST_LINE_M / 1000:.0f} km; put a point between them"
        )


def half_widths(discs: Discs, south: float | Floats, north: float | Floats) -> Floats:
    """How far east and west of its centre each disc reaches in a band of latitudes, all in radians.

    Negative where a disc does not reach the band, pi where it reaches all of a parallel. A point at the
    latitude p and the longitude difference l is at the angle d with sin²(d/2) = sin²((p - lat)/2) + cos(lat)
    cos(p) sin²(l/2). Over the latitudes of a disc around no pole, l is greatest where a meridian touches the
    disc: sin(p) = sin(lat) / cos(d), sin(l) = sin(d) / cos(lat).
    """
    lat, radius = discs.lat, discs.radius
    low = np.maximum(south, lat - radius)
    high = np.minimum(north, lat + radius)
    widths = np.maximum(_width_at(discs, low), _width_at(discs, high))
    around_no_pole = np.abs(lat) + radius < math.pi / 2
    touching = np.arcsin(np.clip(np.sin(lat) / np.cos(radius), -1.0, 1.0))
    with np.errstate(divide="ignore"):
        widest = np.arcsin(np.minimum(1.0, np.sin(radius) / np.cos(lat)))
    widths = np.where(around_no_pole & (low <= touching) & (touching <= high), widest, widths)
    return np.where(low <= high, widths, -1.0)


def _width_at(discs: Discs, parallel: Floats) -> Floats:
    rest = np.sin(discs.radius / 2) ** 2 - np.sin((parallel - discs.lat) / 2) ** 2
    across = np.cos(discs.lat) * np.cos(np.clip(parallel, -math.pi / 2, math.pi / 2))
    whole = rest >= across  # a pole's single point too
    ratio = np.clip(rest, 0.0, None) / np.where(whole, 1.0, np.maximum(across, 1e-300))
    return np.where(whole, math.pi, 2 * np.arcsin(np.sqrt(np.minimum(ratio, 1.0))))


@attrs.frozen(eq=False)
class RowSpans:
    """Neighbouring tiles of single rows of one zoom, both ends included; arrays of one length."""

    owner: Integers
    """The number of the disc, or of the leg, that touches the tiles."""
    y: Integers
    min_x: Integers
    max_x: Integers

    def __len__(self) -> int:
        return len(self.y)

    @property
    def tiles(self) -> int:
        """How many tiles the spans name."""
        return int((self.max_x - self.min_x + 1).sum())

    def cells(self) -> tuple[Integers, Integers, Integers]:
        """Owner, x and y of each tile."""
        counts = self.max_x - self.min_x + 1
        first = np.cumsum(counts) - counts
        x = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(first - self.min_x, counts)
        return np.repeat(self.owner, counts), x, np.repeat(self.y, counts)


def disc_spans(discs: Discs, owner: Integers, zoom_level: int) -> RowSpans:
    """The tiles of one zoom that discs touch, by the discs' owners; each once for an owner."""
    size = 1 << zoom_level
    limit = math.radians(MAX_LATITUDE)
    north, south = discs.lat + discs.radius, discs.lat - discs.radius
    on_the_map = np.flatnonzero((north >= -limit) & (south <= limit))
    first = np.floor(_rows(np.minimum(north[on_the_map], limit), size) - _EDGE).astype(np.int64)
    last = np.floor(_rows(np.maximum(south[on_the_map], -limit), size) + _EDGE).astype(np.int64)
    first, last = np.clip(first, 0, size - 1), np.clip(last, 0, size - 1)
    counts = last - first + 1
    which = np.repeat(on_the_map, counts)
    y = np.arange(len(which), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts - first, counts)
    rows = Discs(discs.lat[which], discs.lon[which], discs.radius[which])
    widths = half_widths(rows, _latitudes(y + 1, size), _latitudes(y, size))
    reached = widths >= 0.0
    which, y, lon, widths = which[reached], y[reached], rows.lon[reached], widths[reached]
    scale = size / (2 * math.pi)
    west = np.floor((lon - widths) * scale + size / 2 - _EDGE).astype(np.int64)
    east = np.floor((lon + widths) * scale + size / 2 + _EDGE).astype(np.int64)
    around = (east - west >= size - 1) | (widths >= math.pi)
    west, east = np.where(around, 0, west), np.where(around, size - 1, east)
    return merge_spans(_within_world(RowSpans(owner[which], y, west, east), size))


def merge_spans(spans: RowSpans) -> RowSpans:
    """The same tiles, ordered by owner, row and column, each once for an owner."""
    if not len(spans):
        return spans
    order = np.lexsort((spans.min_x, spans.y, spans.owner))
    owner, y = spans.owner[order], spans.y[order]
    min_x, max_x = spans.min_x[order], spans.max_x[order]
    new_row = np.ones(len(y), np.bool_)
    new_row[1:] = (owner[1:] != owner[:-1]) | (y[1:] != y[:-1])
    # Rows are laid behind each other, so that one running maximum serves all of them.
    behind = np.cumsum(new_row, dtype=np.int64) * (int(max_x.max()) + 2)
    reach = np.maximum.accumulate(behind + max_x)
    begins = new_row.copy()
    begins[1:] |= behind[1:] + min_x[1:] > reach[:-1] + 1
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(y)) - 1
    return RowSpans(owner[starts], y[starts], min_x[starts], reach[ends] - behind[ends])


def _within_world(spans: RowSpans, size: int) -> RowSpans:
    """Spans that lead across the antimeridian, cut there."""
    turns = [-1, 0, 1]
    parts = []
    for turn in turns:
        min_x = np.maximum(spans.min_x - turn * size, 0)
        max_x = np.minimum(spans.max_x - turn * size, size - 1)
        inside = min_x <= max_x
        parts.append((spans.owner[inside], spans.y[inside], min_x[inside], max_x[inside]))
    return RowSpans(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _rows(lat: Floats, size: int) -> Floats:
    return (0.5 - np.arcsinh(np.tan(lat)) / (2 * math.pi)) * size


def _latitudes(y: Integers, size: int) -> Floats:
    latitudes: Floats = np.arctan(np.sinh(math.pi * (1 - 2 * y / size)))
    return latitudes


def discs_along(points: Sequence[Point], half_width_m: float) -> Discs:
    """The discs of a corridor. Raises `ValueError` for a line that is too long between two points."""
    ends = _vectors(points)
    if len(ends) == 1:
        ends = np.concatenate([ends, ends])
    angles = _angles(ends[:-1], ends[1:])
    lengths = angles * _LARGEST_RADIUS_M
    check_lines(lengths)
    step_m = max(half_width_m / _DISCS_TO_EACH_SIDE, _SMALLEST_STEP_M)
    counts = np.maximum(1, np.ceil(lengths / step_m)).astype(np.int64)
    line = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
    centres = _between(ends[line], ends[line + 1], angles[line], number / counts[line])
    centres = np.concatenate([centres, ends[-1:]])
    line = np.append(line, line[-1])
    lat = np.arctan2(centres[:, 2], np.hypot(centres[:, 0], centres[:, 1]))
    lon = np.arctan2(centres[:, 1], centres[:, 0])
    wanted_m = half_width_m + GEODESIC_DEVIATION * lengths[line] ** 2 + _ROUNDING_M
    radius = np.hypot(wanted_m / _smallest_radius(lat, wanted_m), angles[line] / counts[line] / 2)
    return Discs(lat, lon, radius)


def _smallest_radius(lat: Floats, reach_m: Floats) -> Floats:
    """The ellipsoid's smallest radius of curvature within a distance: the meridian's, nearest the equator."""
    at_equator = _SEMI_MAJOR_M * (1 - _ECCENTRICITY_SQUARED)
    nearest = np.maximum(0.0, np.abs(lat) - reach_m / at_equator)
    return at_equator / (1 - _ECCENTRICITY_SQUARED * np.sin(nearest) ** 2) ** 1.5


def _vectors(points: Sequence[Point]) -> Floats:
    lon, lat = np.radians(np.array(points, np.float64)).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _angles(first: Floats, second: Floats) -> Floats:
    across = np.linalg.norm(np.cross(first, second), axis=1)
    angles: Floats = np.arctan2(across, (first * second).sum(axis=1))
    return angles


def _between(first: Floats, second: Floats, angle: Floats, fraction: Floats) -> Floats:
    """Points on great circles, at a fraction of the way."""
    sine = np.maximum(np.sin(angle), 1e-300)
    straight = angle < 1e-9
    begin = np.where(straight, 1 - fraction, np.sin((1 - fraction) * angle) / sine)
    end = np.where(straight, fraction, np.sin(fraction * angle) / sine)
    points: Floats = begin[:, None] * first + end[:, None] * second
    return points
