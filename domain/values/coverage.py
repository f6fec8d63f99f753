"""The ground that tiles cover: a box for each zoom, and every tile of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

import attrs

from .tile_grid import Bbox, tile_bbox


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


def runs_of(places: Iterable[tuple[int, int, int]]) -> list[TileRun]:
    """The runs of places (zoom, x, y), sorted; a place that comes again counts once."""
    runs: list[TileRun] = []
    for zoom_level, x, y in sorted(set(places)):
        if runs and runs[-1][:2] == (zoom_level, x) and runs[-1].last_y == y - 1:
            runs[-1] = runs[-1]._replace(last_y=y)
        else:
            runs.append(TileRun(zoom_level, x, y, y))
    return runs


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
