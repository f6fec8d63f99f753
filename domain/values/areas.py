"""Areas of the ground that a search is held to, and which tiles of the grid share a point with them.

An area is a set of shapes (boxes, circles, corridors, polygons) at given zooms or at all. Every shape answers
row of tiles by row of tiles: within the band of latitudes that a row covers, the longitudes that a shape
reaches are a few intervals, so the tiles that it touches are a few spans of columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import attrs
import numpy as np

from .corridors import Corridor, RowSpans, corridor_spans, merge_spans
from .shapes import Circle, MultiPolygon, Polygon, Shape, latitudes_of, longitudes_of, shares_point
from .tile_grid import MAX_LATITUDE, Bbox, check_place, check_zoom, column_and_row, tile_bbox
from .validators import taken


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
    return taken(shapes, "shapes", "shapes")


def _zooms(zooms: Iterable[int] | None) -> frozenset[int] | None:
    return None if zooms is None else frozenset(map(check_zoom, taken(zooms, "zooms", "zoom levels")))


@attrs.frozen
class Area:
    """Where a search looks. Raises `ValueError` without a shape, and for zooms outside 0..22 or none."""

    shapes: tuple[Shape, ...] = attrs.field(converter=_shapes)
    """At least one; a tile is in when it touches any of them."""
    zooms: frozenset[int] | None = attrs.field(default=None, converter=_zooms)
    """None: whatever zooms there are."""

    def __attrs_post_init__(self) -> None:
        if not self.shapes:
            raise ValueError("shapes must hold at least one, got none")
        for shape in self.shapes:
            if not isinstance(shape, (Bbox, Circle, Corridor, Polygon, MultiPolygon)):
                raise ValueError(f"shapes must be boxes, circles, corridors and polygons, got {shape!r}")
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
        """Whether the area holds this tile. Raises `ValueError` for a tile that is not on the grid."""
        check_place(zoom_level, x=x, y=y)
        if self.zooms is not None and zoom_level not in self.zooms:
            return False
        return any(shares_point(shape, tile_bbox(x, y, zoom_level)) for shape in self.shapes)


def boxes_around(area: Area) -> tuple[Bbox, ...]:
    """The boxes around each shape: of a box itself; two or more where a shape crosses the antimeridian.

    Edges of other shapes are rounded outwards to 1e-7 degrees, so that the last bits of sines decide nothing.
    """
    return tuple(box for shape in area.shapes for box in _boxes_around(shape))


def _boxes_around(shape: Shape) -> Iterator[Bbox]:
    if isinstance(shape, Bbox):
        yield shape
        return
    south, north = (max(-90.0, min(90.0, lat)) for lat in latitudes_of(shape))
    reached: list[tuple[float, float]] = []
    for west, east in sorted(longitudes_of(shape, south, north)):
        if reached and west <= reached[-1][1]:
            reached[-1] = (reached[-1][0], max(reached[-1][1], east))
        else:
            reached.append((west, east))
    for west, east in reached:
        yield Bbox(
            max(-90.0, math.floor(south * 1e7) / 1e7),
            max(-180.0, math.floor(west * 1e7) / 1e7),
            min(90.0, math.ceil(north * 1e7) / 1e7),
            min(180.0, math.ceil(east * 1e7) / 1e7),
        )


def merged_spans(area: Area, zoom_level: int) -> RowSpans:
    """The tiles of one zoom as `Area.spans` names them, ordered by row and column, each once."""
    rows = [(span.y, span.min_x, span.max_x) for span in area.spans(zoom_level)]
    y, min_x, max_x = np.array(rows, np.int64).reshape(-1, 3).T
    return merge_spans(RowSpans(np.zeros(len(y), np.int64), y, min_x, max_x))


def _spans(shape: Shape, zoom_level: int) -> Iterator[TileSpan]:
    if isinstance(shape, Corridor):
        spans = corridor_spans(shape, zoom_level)
        yield from map(TileSpan, spans.y.tolist(), spans.min_x.tolist(), spans.max_x.tolist())
        return
    south, north = latitudes_of(shape)
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
        for west, east in longitudes_of(shape, band.min_lat, band.max_lat):
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
