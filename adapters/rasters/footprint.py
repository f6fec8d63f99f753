"""Which places of the grid a raster covers, by its corners alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.ports.imagery_source import TilePlace
from ...domain.values.tile_grid import EARTH_CIRCUMFERENCE_M, MAX_LATITUDE, Bbox, GridRange, shared_range
from .projected import projected
from .raster_file import WEB_MERCATOR, WGS84, RasterFile, turn_of

_POINTS_AN_EDGE = 33
_ROUNDING = 1e-6
_DETAIL_STEPS = 6
"""A raster's places are found where it is 64 tiles wide or high, or at its finest zoom."""
_POINTS_AT_A_TIME = 1 << 18
_EVERYWHERE = Bbox(-90.0, -180.0, 90.0, 180.0)


@attrs.frozen(eq=False)
class Footprint:
    """The ground of a raster. A place counts when its box, mapped into the raster, overlaps it."""

    raster: RasterFile
    boxes: tuple[Bbox, ...]
    """Around all of it: two where it lies across the antimeridian."""
    coarsest: int
    """The coarsest zoom at which the raster is as wide or as high as a tile; or `finest`."""
    detail: int
    """The coarsest zoom at which single places are told apart; those of coarser zooms are their parents."""

    @classmethod
    def of(cls, raster: RasterFile, finest: int) -> Footprint:
        """The footprint of a raster whose pixels are as fine as those of a zoom."""
        boxes = _boxes(raster)
        coarsest = max(0, math.ceil(-math.log2(_world_share(boxes)) - _ROUNDING))
        # Of the one tile of zoom 0 both edges are the antimeridian: no width would be seen.
        detail = max(1, min(coarsest + _DETAIL_STEPS, finest))
        return cls(raster, boxes, min(coarsest, finest), detail)

    def ranges(self, zoom_level: int) -> list[GridRange]:
        """Rectangles around its places at a zoom; they don't overlap, edges apart."""
        return [GridRange.covering(box, zoom_level) for box in self.boxes]

    def places(self, within: GridRange) -> list[TilePlace]:
        """The places within a rectangle, by column and row."""
        zoom_level = within.zoom_level
        detail = self.detail
        steps = max(0, detail - zoom_level)
        looked_at = GridRange(
            zoom_level + steps,
            within.min_x << steps,
            within.min_y << steps,
            ((within.max_x + 1) << steps) - 1,
            ((within.max_y + 1) << steps) - 1,
        )
        found: set[TilePlace] = set()
        for one in self.ranges(looked_at.zoom_level):
            touched = self._touched(shared_range(one, looked_at))
            if steps:
                touched = [TilePlace(zoom_level, place.x >> steps, place.y >> steps) for place in touched]
            found.update(touched)
        return sorted(found)

    def _touched(self, within: GridRange | None) -> list[TilePlace]:
        if within is None:
            return []
        rows_at_a_time = max(1, _POINTS_AT_A_TIME // (within.max_x - within.min_x + 2))
        found = []
        for first in range(within.min_y, within.max_y + 1, rows_at_a_time):
            last = min(within.max_y, first + rows_at_a_time - 1)
            touched = self._touching(GridRange(within.zoom_level, within.min_x, first, within.max_x, last))
            rows, columns = np.nonzero(touched)
            found += [
                TilePlace(within.zoom_level, within.min_x + x, first + y)
                for y, x in zip(rows.tolist(), columns.tolist(), strict=True)
            ]
        return found

    def _touching(self, within: GridRange) -> npt.NDArray[np.bool_]:
        """For each row and column of a rectangle whether its place overlaps the raster."""
        size = EARTH_CIRCUMFERENCE_M / (1 << within.zoom_level)
        half = EARTH_CIRCUMFERENCE_M / 2
        x = -half + size * np.arange(within.min_x, within.max_x + 2)
        y = half - size * np.arange(within.min_y, within.max_y + 2)
        grid_x, grid_y = np.meshgrid(x, y)
        raster = self.raster
        if raster.crs == WEB_MERCATOR:
            across, along = grid_x, grid_y
        else:
            places = projected(WEB_MERCATOR, raster.crs, grid_x.ravel(), grid_y.ravel())
            across, along = (one.reshape(grid_x.shape) for one in places)
            if (turn := turn_of(raster.crs)) is not None:
                across = np.unwrap(across, period=turn, axis=1)
        touching = np.zeros((len(y) - 1, len(x) - 1), np.bool_)
        inverse = ~raster.transform
        # Unwrapping may have begun on the other side of the globe.
        for turns in {-one for one in raster.turns} | {0.0} | set(raster.turns):
            shifted = across + turns
            columns = inverse.a * shifted + inverse.b * along + inverse.c
            rows = inverse.d * shifted + inverse.e * along + inverse.f
            touching |= _overlaps(columns, raster.width) & _overlaps(rows, raster.height)
        return touching


def _world_share(boxes: Sequence[Bbox]) -> float:
    """The width of boxes that lie side by side in turns of the globe, or their height if that is more."""
    wide = sum(box.max_lon - box.min_lon for box in boxes) / 360.0
    north, south = (_height(lat) for lat in (boxes[0].max_lat, boxes[0].min_lat))
    return max(wide, (north - south) / math.tau)


def _height(lat: float) -> float:
    return math.asinh(math.tan(math.radians(max(-MAX_LATITUDE, min(MAX_LATITUDE, lat)))))


def _overlaps(corners: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.bool_]:
    """Whether the four corners of each tile span a part of 0..length; a tile beyond the projection may."""
    four = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]])
    low, high = four.min(axis=0), four.max(axis=0)
    known = np.isfinite(low) & np.isfinite(high)
    overlaps: npt.NDArray[np.bool_] = ~known | ((high > _EDGE) & (low < length - _EDGE))
    return overlaps


_EDGE = 1e-6
"""In pixels of the raster: a tile that only touches its edge has no pixel of it."""


def _boxes(raster: RasterFile) -> tuple[Bbox, ...]:
    """Boxes in degrees around a raster's outline."""
    steps = np.linspace(0.0, 1.0, _POINTS_AN_EDGE)
    zeros, ones = np.zeros_like(steps), np.ones_like(steps)
    columns = np.concatenate([steps, ones, steps[::-1], zeros]) * raster.width
    rows = np.concatenate([zeros, steps, ones, steps[::-1]]) * raster.height
    place = raster.transform
    across = place.a * columns + place.b * rows + place.c
    along = place.d * columns + place.e * rows + place.f
    lon, lat = projected(raster.crs, WGS84, across, along)
    if (turn := turn_of(raster.crs)) is not None:
        lon = across / turn * 360.0  # PROJ would wrap them
    known = np.isfinite(lon) & np.isfinite(lat)
    if not known.all():
        return (_EVERYWHERE,)
    lon = np.unwrap(lon, period=360.0)
    south, north = max(-90.0, float(lat.min())), min(90.0, float(lat.max()))
    if abs(lon[-1] - lon[0]) > 180.0:  # around a pole
        return (Bbox(-90.0, -180.0, north, 180.0) if north < 0 else Bbox(south, -180.0, 90.0, 180.0),)
    west, east = float(lon.min()), float(lon.max())
    if east - west >= 360.0:
        return (Bbox(south, -180.0, north, 180.0),)
    turns = np.floor((west + 180.0) / 360.0) * 360.0
    west, east = float(west - turns), float(east - turns)
    if east <= 180.0:
        return (Bbox(south, west, north, east),)
    return Bbox(south, west, north, 180.0), Bbox(south, -180.0, north, east - 360.0)
