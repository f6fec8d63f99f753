"""The ground that tiles cover: a box for each zoom, and every tile of it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

import attrs
import numpy as np

from .tile_grid import MAX_ZOOM, Bbox, tile_bbox


class TileRun(NamedTuple):
    """Tiles of one zoom and column without a gap between them."""

    zoom_level: int
    x: int
    first_y: int
    last_y: int
    """Included."""


@attrs.frozen
class ZoomCoverage:
    """The ground that the tiles of one zoom cover."""

    zoom_level: int
    tiles: int
    """Places of the grid that hold a tile, however many sources it has there."""
    boxes: tuple[Bbox, ...]
    """The box around all tiles; two where the tiles lie on both sides of the antimeridian."""
    runs: tuple[TileRun, ...]
    """Every tile, sorted by column and row."""


class PlaceList:
    """Places of the grid, in 8 bytes each; the same place may come again."""

    def __init__(self) -> None:
        self._keys = array("q")

    def add(self, zoom_level: int, x: int, y: int) -> None:
        """Add a place."""
        self._keys.append((zoom_level << MAX_ZOOM | x) << MAX_ZOOM | y)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, position: int) -> tuple[int, int, int]:
        """Zoom, column and row."""
        key, low = self._keys[position], (1 << MAX_ZOOM) - 1
        return key >> 2 * MAX_ZOOM, key >> MAX_ZOOM & low, key & low

    def runs(self) -> list[TileRun]:
        """Their runs, sorted; a place that comes again counts once."""
        keys = np.unique(np.array(self._keys, np.int64))
        columns = keys >> MAX_ZOOM
        is_first = np.ones(len(keys), bool)
        is_first[1:] = (keys[1:] != keys[:-1] + 1) | (columns[1:] != columns[:-1])
        starts = np.flatnonzero(is_first)
        lengths = np.diff(np.append(starts, len(keys)))
        low = (1 << MAX_ZOOM) - 1
        return [
            TileRun(key >> 2 * MAX_ZOOM, key >> MAX_ZOOM & low, key & low, (key & low) + length - 1)
            for key, length in zip(keys[starts].tolist(), lengths.tolist(), strict=True)
        ]


def runs_of(places: Iterable[tuple[int, int, int]]) -> list[TileRun]:
    """The runs of places (zoom, x, y), sorted; a place that comes again counts once."""
    listed = PlaceList()
    for place in places:
        listed.add(*place)
    return listed.runs()


def coverage_of(runs: Iterable[TileRun]) -> list[ZoomCoverage]:
    """The coverage of each zoom that has tiles, of runs sorted by zoom, column and row."""
    covered = []
    for zoom_level, of_zoom in groupby(runs, key=lambda run: run.zoom_level):
        some = tuple(of_zoom)
        tiles = sum(run.last_y - run.first_y + 1 for run in some)
        covered.append(ZoomCoverage(zoom_level, tiles, _boxes(zoom_level, some), some))
    return covered


def _boxes(zoom_level: int, runs: tuple[TileRun, ...]) -> tuple[Bbox, ...]:
    columns = sorted({run.x for run in runs})
    north, south = min(run.first_y for run in runs), max(run.last_y for run in runs)
    spans = [(columns[0], columns[-1])]
    if (columns[0], columns[-1]) == (0, (1 << zoom_level) - 1):
        # Both sides of the antimeridian: a single box would go around the world.
        widest = max(range(len(columns) - 1), key=lambda i: columns[i + 1] - columns[i], default=None)
        if widest is not None and columns[widest + 1] - columns[widest] > 1:
            spans = [(columns[widest + 1], columns[-1]), (columns[0], columns[widest])]
    boxes = []
    for west, east in spans:
        first, last = tile_bbox(west, north, zoom_level), tile_bbox(east, south, zoom_level)
        boxes.append(Bbox(last.min_lat, first.min_lon, first.max_lat, last.max_lon))
    return tuple(boxes)
