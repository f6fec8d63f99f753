"""Whether shapes together cover the whole of a tile's box.

The tile is cut into strips at every latitude where a line of a shape begins, ends, meets another line or
meets the tile's edge. No lines cross within a strip, so from west to east they follow each other in one
order, and what no shape holds is a gap between two of them. A gap that is nowhere `SMALLEST_GAP` wide is no
gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise

from .shapes import Line, MultiPolygon, Polygon, corners_of, crossing, parts_of, passes, reach_of
from .tile_grid import MAX_ZOOM, Bbox, tile_bbox

SMALLEST_GAP = 1e-9
"""In degrees, across the gap: a tenth of a millimetre, less than a border's coordinates can tell."""
MAX_LINES = 64
"""A tile that more lines touch is covered when each of its four quarters is."""

_NumberedLine = tuple[int, Line]
"""The number of a line's polygon, and the line."""


def covers_tile(shapes: Iterable[Bbox | Polygon | MultiPolygon], zoom_level: int, x: int, y: int) -> bool:
    """Whether every point of a tile's box lies in a shape, gaps below `SMALLEST_GAP` aside."""
    parts = [part for shape in shapes for part in parts_of(shape)]
    return _cover([polygon for part in parts for polygon in _as_polygon(part)], zoom_level, x, y)


def _as_polygon(part: Bbox | Polygon) -> Iterator[Polygon]:
    """A box as a polygon; nothing for a box that has no area."""
    if isinstance(part, Polygon):
        yield part
    elif part.min_lat < part.max_lat and part.min_lon < part.max_lon:
        yield Polygon([corners_of(part)])


def _cover(polygons: Sequence[Polygon], zoom_level: int, x: int, y: int) -> bool:
    box = tile_bbox(x, y, zoom_level)
    lines = [
        (number, line)
        for number, polygon in enumerate(polygons)
        for line in polygon.lines()
        if _touches(line, box)
    ]
    if len(lines) > MAX_LINES and zoom_level < MAX_ZOOM:
        quarters = [(2 * x + east, 2 * y + south) for south in (0, 1) for east in (0, 1)]
        return all(_cover(polygons, zoom_level + 1, *quarter) for quarter in quarters)
    gap_from = box.min_lat
    for south, north in pairwise(sorted(_cuts(lines, box))):
        if not _has_gap(polygons, lines, box, south, north):
            gap_from = north
        elif north - gap_from >= SMALLEST_GAP:
            return False
    return True


def _touches(line: Line, box: Bbox) -> bool:
    reached = reach_of(line, box.min_lat, box.max_lat)
    return reached is not None and reached[0] <= box.max_lon and box.min_lon <= reached[1]


def _cuts(lines: Sequence[_NumberedLine], box: Bbox) -> set[float]:
    """The latitudes between which no line begins, ends, meets another or meets the box's edge."""
    cuts = {lat for _, line in lines for _, lat in line}
    for _, line in lines:
        cuts.update(_meridians_met(line, box))
    for (_, line), (_, other) in combinations(lines, 2):
        cuts.update(_met(line, other, box))
    return {box.min_lat, box.max_lat, *(lat for lat in cuts if box.min_lat < lat < box.max_lat)}


def _meridians_met(line: Line, box: Bbox) -> Iterator[float]:
    (lon_a, lat_a), (lon_b, lat_b) = line
    for lon in (box.min_lon, box.max_lon):
        if (lon_a > lon) is not (lon_b > lon):
            yield lat_a + (lon - lon_a) / (lon_b - lon_a) * (lat_b - lat_a)


def _met(line: Line, other: Line, box: Bbox) -> Iterator[float]:
    (_, lat_a), (_, lat_b) = line
    (_, lat_c), (_, lat_d) = other
    if (
        lat_a == lat_b or lat_c == lat_d
    ):  # a line along a parallel ends at the latitude at which it meets others
        return
    south = max(min(lat_a, lat_b), min(lat_c, lat_d), box.min_lat)
    north = min(max(lat_a, lat_b), max(lat_c, lat_d), box.max_lat)
    if south < north:
        at_south = crossing(line, south) - crossing(other, south)
        at_north = crossing(line, north) - crossing(other, north)
        if (at_south > 0.0) is not (at_north > 0.0):
            yield south + (north - south) * (at_south / (at_south - at_north))


def _has_gap(
    polygons: Sequence[Polygon], lines: Sequence[_NumberedLine], box: Bbox, south: float, north: float
) -> bool:
    """Whether a strip of the box holds a gap that is wide enough to count."""
    middle = south + (north - south) / 2
    inside = {number for number, polygon in enumerate(polygons) if _holds(polygon, box.min_lon, middle)}
    passed = [(crossing(line, middle), number, line) for number, line in lines if passes(line, middle)]
    passed.sort(key=lambda found: found[0])
    western = ((box.min_lon, box.min_lat), (box.min_lon, box.max_lat))
    eastern = ((box.max_lon, box.min_lat), (box.max_lon, box.max_lat))
    left = western
    for lon, number, line in passed:
        if not box.min_lon < lon <= box.max_lon:
            continue
        if not inside and _across(left, line, box, south, north) >= SMALLEST_GAP:
            return True
        inside ^= {number}
        left = line
    return not inside and _across(left, eastern, box, south, north) >= SMALLEST_GAP


def _holds(polygon: Polygon, lon: float, lat: float) -> bool:
    """Whether a point lies in a polygon; points on its lines go to either side."""
    return sum(passes(line, lat) and crossing(line, lat) <= lon for line in polygon.lines()) % 2 == 1


def _across(left: Line, right: Line, box: Bbox, south: float, north: float) -> float:
    """How wide the ground between two lines is in a strip, in degrees, measured across."""
    width = max(
        min(crossing(right, lat), box.max_lon) - max(crossing(left, lat), box.min_lon)
        for lat in (south, north)
    )
    return width * max(_steepness(left), _steepness(right))


def _steepness(line: Line) -> float:
    (lon_a, lat_a), (lon_b, lat_b) = line
    return abs(lat_b - lat_a) / math.hypot(lon_b - lon_a, lat_b - lat_a)  # whose squares may be nothing
