"""Go or no-go as a picture: a panel for each zoom, its tiles by what is wrong with them, and the legs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ...domain.readiness.judge_tiles import TileFault, fault_ranks
from ...domain.readiness.report import Readiness
from ...domain.values.corridors import discs_along
from .coverage_map import Picture, Window, enlarged, framed, side_by_side, write_picture

COLOURS = {
    None: (255, 255, 255),  # outside of the corridor
    TileFault(0): (0, 112, 60),
    TileFault.NOT_CHECKED: (150, 190, 160),
    TileFault.UNDESCRIBED: (60, 110, 220),
    TileFault.STALE: (255, 176, 64),
    TileFault.DAMAGED: (140, 0, 90),
    TileFault.MISSING: (220, 0, 0),
}
"""From what nobody needs to the worst; a cell of several tiles has the colour of the worst of them."""
LINE = (0, 0, 0)
READY = list(COLOURS).index(TileFault(0))


def write_readiness_map(map_file: Path, readiness: Readiness) -> None:
    """Draw the answer into a file. Raises `JobFailedError`."""
    zooms = np.unique(readiness.wanted.zoom).tolist()
    write_picture(map_file, side_by_side([_panel(readiness, zoom) for zoom in zooms]))


def _panel(readiness: Readiness, zoom: int) -> Picture:
    wanted = readiness.wanted
    of_zoom = wanted.zoom == zoom
    x, y = wanted.x[of_zoom], wanted.y[of_zoom]
    window = Window.around(zoom, x, y)
    ranks = fault_ranks(readiness.faults[of_zoom]) + 1  # white comes before them
    worst = np.zeros(window.shape, np.int64)
    np.maximum.at(worst, window.cells(x, y), ranks)
    ground, scale = enlarged(np.array(list(COLOURS.values()), np.uint8)[worst])
    for leg in readiness.legs:
        discs = discs_along(leg.planned.leg.points, 0.0)
        size = 1 << zoom
        across = (discs.lon / (2 * math.pi) + 0.5) * size
        across = np.where(across < window.first_x, across + size, across)
        down = (0.5 - np.arcsinh(np.tan(discs.lat)) / (2 * math.pi)) * size
        cell = 1 << window.levels
        column = (across / cell - (window.first_x >> window.levels)) * scale
        row = (down / cell - (window.first_y >> window.levels)) * scale
        inside = (row >= 0) & (row < len(ground)) & (column >= 0) & (column < ground.shape[1])
        row, column = row[inside].astype(np.int64), column[inside].astype(np.int64)
        whole = worst[row // scale, column // scale] <= READY  # the line must hide no fault
        ground[row[whole], column[whole]] = LINE
    return framed(ground, zoom)
