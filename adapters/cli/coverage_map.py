"""The ground that tiles cover as a picture: a PNG with a panel for each zoom, written whole or not at all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

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
_Picture = npt.NDArray[np.uint8]


def write_map(map_file: Path, coverage: Sequence[ZoomCoverage]) -> None:
    """Draw the coverage into a file. Raises `JobFailedError`."""
    try:
        with atomic_file(map_file, 0o644) as file:
            file.write(encode_png(draw_coverage(coverage)))
    except OSError as error:
        raise JobFailedError(
            f"{map_file} can't be written: {error.strerror or error}",
            remedy="name a file in another folder, and run aerotile status with --map",
        ) from error


def draw_coverage(coverage: Sequence[ZoomCoverage]) -> _Picture:
    """A panel for each zoom, with the zoom's number above: every tile is there, or some, or none.

    A pixel is a tile, or the ancestor of tiles; it has the full colour only when all tiles below it are
    there, so that no gap is hidden.
    """
    panels = [_panel(one) for one in coverage] or [_digits("0")]
    height = max(len(panel) for panel in panels) + 2 * _MARGIN_PIXELS
    width = sum(panel.shape[1] + _MARGIN_PIXELS for panel in panels) + _MARGIN_PIXELS
    picture = np.full((height, width, 3), _NONE, np.uint8)
    left = _MARGIN_PIXELS
    for panel in panels:
        below, right = _MARGIN_PIXELS + len(panel), left + panel.shape[1]
        picture[_MARGIN_PIXELS:below, left:right] = panel
        left = right + _MARGIN_PIXELS
    return picture


def _panel(one: ZoomCoverage) -> _Picture:
    counts, tiles_below = _count_tiles(one.runs)
    cells = np.full((*counts.shape, 3), _NONE, np.uint8)
    cells[counts > 0] = _PART
    cells[counts == tiles_below] = _ALL
    scale = max(1, min(_MAX_PIXELS_PER_TILE, PANEL_PIXELS // max(counts.shape)))
    ground = np.pad(cells.repeat(scale, axis=0).repeat(scale, axis=1), ((1, 1), (1, 1), (0, 0)))
    ground[[0, -1]] = ground[:, [0, -1]] = _FRAME
    title = _digits(str(one.zoom_level))
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
    world = 1 << runs[0].zoom_level
    columns = np.unique([run.x for run in runs])
    first_x, span = int(columns[0]), int(columns[-1] - columns[0]) + 1
    if span == world and len(columns) < world:
        widest = int(np.argmax(np.diff(columns)))
        first_x = int(columns[widest + 1])
        span = int(columns[widest]) + world - first_x + 1
    first_y, last_y = min(run.first_y for run in runs), max(run.last_y for run in runs)
    levels = 0
    while max(span, last_y - first_y + 1) >> levels > PANEL_PIXELS:
        levels += 1
    left, top = first_x >> levels, first_y >> levels
    right = (first_x + span - 1) >> levels
    counts = np.zeros(((last_y >> levels) - top + 1, right - left + 1), np.int64)
    for run in runs:
        x = run.x if run.x >= first_x else run.x + world
        rows = np.arange(run.first_y, run.last_y + 1) >> levels
        np.add.at(counts[:, (x >> levels) - left], rows - top, 1)
    return counts, 4**levels


def _digits(text: str) -> _Picture:
    glyphs = [
        np.array([[row >> bit & 1 for bit in (2, 1, 0)] + [0] for row in _DIGITS[digit]], bool)
        for digit in text
    ]
    mask = np.concatenate(glyphs, axis=1).repeat(_DIGIT_SCALE, axis=0).repeat(_DIGIT_SCALE, axis=1)
    picture = np.full((*mask.shape, 3), _NONE, np.uint8)
    picture[mask] = _FRAME
    return picture


def encode_png(picture: _Picture) -> bytes:
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
