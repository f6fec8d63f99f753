"""The ground that tiles cover as a picture: a PNG with a panel for each zoom, written whole or not at all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.values.coverage import TileRun, ZoomCoverage
from ..files.atomic_file import atomic_file
from .errors import JobFailedError

PANEL_PIXELS = 512
_MARGIN_PIXELS = 8
_MAX_PIXELS_PER_TILE = 32
_FRAME, _NONE, _PART, _ALL = (64, 64, 64), (255, 255, 255), (255, 176, 64), (0, 112, 60)
_DIGITS = {
    digit: [int(row, 2) for row in rows.split()]
    for digit, rows in {
        "0": "111 101 101 101 111",
        "1": "010 110 010 010 111",
        "2": "111 001 111 100 111",
        "3": "111 001 111 001 111",
        "4": "101 101 111 001 001",
        "5": "111 100 111 001 111",
        "6": "111 100 111 101 111",
        "7": "111 001 010 010 010",
        "8": "111 101 111 101 111",
        "9": "111 101 111 001 111",
    }.items()
}
_DIGIT_SCALE = 3
Picture = npt.NDArray[np.uint8]
"""Rows of RGB pixels."""
Integers = npt.NDArray[np.int64]


@attrs.frozen
class Window:
    """The part of a zoom's grid that a panel shows, a cell for each tile or for the ancestor of several."""

    zoom_level: int
    first_x: int
    """The westernmost column. Where tiles lie on both sides of the antimeridian the eastern hemisphere's."""
    first_y: int
    levels: int
    """How many zooms above the tiles the cells lie."""
    shape: tuple[int, int]
    """Rows and columns of cells."""

    @classmethod
    def around(cls, zoom_level: int, x: Integers, y: Integers) -> Window:
        """The window that holds all of the columns and rows."""
        world = 1 << zoom_level
        columns = np.unique(x)
        first_x, span = int(columns[0]), int(columns[-1] - columns[0]) + 1
        if span == world and len(columns) < world:
            widest = int(np.argmax(np.diff(columns)))
            first_x = int(columns[widest + 1])
            span = int(columns[widest]) + world - first_x + 1
        first_y, last_y = int(y.min()), int(y.max())
        levels = 0
        while max(span, last_y - first_y + 1) >> levels > PANEL_PIXELS:
            levels += 1
        width = ((first_x + span - 1) >> levels) - (first_x >> levels) + 1
        height = (last_y >> levels) - (first_y >> levels) + 1
        return cls(zoom_level, first_x, first_y, levels, (height, width))

    def cells(self, x: Integers, y: Integers) -> tuple[Integers, Integers]:
        """Row and column of the cells that hold tiles."""
        x = np.where(x < self.first_x, x + (1 << self.zoom_level), x)
        return (y >> self.levels) - (self.first_y >> self.levels), (x >> self.levels) - (
            self.first_x >> self.levels
        )


def write_map(map_file: Path, coverage: Sequence[ZoomCoverage]) -> None:
    """Draw the coverage into a file. Raises `JobFailedError`."""
    write_picture(map_file, draw_coverage(coverage))


def write_picture(map_file: Path, picture: Picture) -> None:
    """Write a picture as a PNG, whole or not at all. Raises `JobFailedError`."""
    try:
        with atomic_file(map_file, 0o644) as file:
            file.write(encode_png(picture))
    except OSError as error:
        raise JobFailedError(
            f"{map_file} can't be written: {error.strerror or error}",
            remedy="name a file in another folder; aerotile status --map draws what the store holds",
        ) from error


def draw_coverage(coverage: Sequence[ZoomCoverage]) -> Picture:
    """A panel for each zoom, with the zoom's number above: every tile is there, or some, or none.

    A pixel is a tile, or the ancestor of tiles; it has the full colour only when all tiles below it are
    there, so that no gap is hidden.
    """
    return side_by_side([_panel(one) for one in coverage] or [_digits("0")])


def side_by_side(panels: Sequence[Picture]) -> Picture:
    """Panels in one picture, from left to right."""
    height = max(len(panel) for panel in panels) + 2 * _MARGIN_PIXELS
    width = sum(panel.shape[1] + _MARGIN_PIXELS for panel in panels) + _MARGIN_PIXELS
    picture = np.full((height, width, 3), _NONE, np.uint8)
    left = _MARGIN_PIXELS
    for panel in panels:
        below, right = _MARGIN_PIXELS + len(panel), left + panel.shape[1]
        picture[_MARGIN_PIXELS:below, left:right] = panel
        left = right + _MARGIN_PIXELS
    return picture


def _panel(one: ZoomCoverage) -> Picture:
    counts, tiles_below = _count_tiles(one.runs)
    cells = np.full((*counts.shape, 3), _NONE, np.uint8)
    cells[counts > 0] = _PART
    cells[counts == tiles_below] = _ALL
    return framed(enlarged(cells)[0], one.zoom_level)


def enlarged(cells: Picture) -> tuple[Picture, int]:
    """The cells in as many pixels each as a panel has room for, and how many that are to a side."""
    scale = max(1, min(_MAX_PIXELS_PER_TILE, PANEL_PIXELS // max(cells.shape[:2])))
    return cells.repeat(scale, axis=0).repeat(scale, axis=1), scale


def framed(ground: Picture, zoom_level: int) -> Picture:
    """A panel: the ground in a frame, below the number of its zoom."""
    ground = np.pad(ground, ((1, 1), (1, 1), (0, 0)))
    ground[[0, -1]] = ground[:, [0, -1]] = _FRAME
    title = _digits(str(zoom_level))
    width = max(ground.shape[1], title.shape[1])
    parts = [
        np.pad(part, ((0, below), (0, width - part.shape[1]), (0, 0)), constant_values=255)
        for part, below in ((title, _MARGIN_PIXELS), (ground, 0))
    ]
    return np.concatenate(parts)


def _count_tiles(runs: Sequence[TileRun]) -> tuple[npt.NDArray[np.int64], int]:
    """The number of tiles below each ancestor at the zoom where all fit a panel, and the most that can be.

    Where tiles lie on both sides of the antimeridian, the eastern hemisphere comes first.
    """
    window = Window.around(
        runs[0].zoom_level,
        np.array([run.x for run in runs]),
        np.array([y for run in runs for y in (run.first_y, run.last_y)]),
    )
    counts = np.zeros(window.shape, np.int64)
    for run in runs:
        rows = np.arange(run.first_y, run.last_y + 1)
        np.add.at(counts, window.cells(np.full(len(rows), run.x), rows), 1)
    return counts, 4**window.levels


def _digits(text: str) -> Picture:
    glyphs = [
        np.array([[row >> bit & 1 for bit in (2, 1, 0)] + [0] for row in _DIGITS[digit]], bool)
        for digit in text
    ]
    mask = np.concatenate(glyphs, axis=1).repeat(_DIGIT_SCALE, axis=0).repeat(_DIGIT_SCALE, axis=1)
    picture = np.full((*mask.shape, 3), _NONE, np.uint8)
    picture[mask] = _FRAME
    return picture


def encode_png(picture: Picture) -> bytes:
    """The PNG of rows of RGB pixels (PNG specification, third edition: 8 bits a sample, no filter)."""
    height, width, _ = picture.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = picture.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
