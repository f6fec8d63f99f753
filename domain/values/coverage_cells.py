"""Where many tiles lie, as few cells of a coarser grid: counted along the Z-curve, from sorted keys."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import numpy as np
import numpy.typing as npt

from .catalogue_entries import Keys
from .inventory import Places
from .tile_grid import MAX_ZOOM, GridRange, check_zoom
from .tile_key import MORTON_BITS, VARIANT_BITS, morton

Columns = npt.NDArray[np.int64]
_MORTON_MASK = (1 << MORTON_BITS) - 1


@attrs.frozen(eq=False)
class CoverageCells:
    """How many tiles of one zoom lie in each cell of a coarser zoom."""

    zoom_level: int
    """Of the tiles."""
    cell_zoom: int
    """Of the cells; a cell is a place of the grid of this zoom."""
    x: Columns
    """Column of each cell that holds a tile."""
    y: Columns
    """Row of each cell."""
    counts: Columns
    """Places in each cell that hold a tile, however many sources it has there."""

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def places_in_a_cell(self) -> int:
        """How many places a cell has that is covered whole."""
        return 1 << 2 * (self.zoom_level - self.cell_zoom)


def gathered(curve: Columns) -> Columns:
    """Every second bit, from bit 0 on: the columns of places on the Z-curve; of `curve >> 1` the rows."""
    curve = curve & 0x5555555555555555
    for shift, mask in (
        (1, 0x3333333333333333),
        (2, 0x0F0F0F0F0F0F0F0F),
        (4, 0x00FF00FF00FF00FF),
        (8, 0x0000FFFF0000FFFF),
        (16, 0x00000000FFFFFFFF),
    ):
        curve = (curve | curve >> shift) & mask
    return curve


def places_of_keys(many: Iterable[Keys]) -> Places:
    """The places of sorted tile keys of several layers, sorted; one that comes again counts once."""
    return merged_places([_distinct(keys >> VARIANT_BITS) for keys in many])


def merged_places(layers: Iterable[Places]) -> Places:
    """The places that one of several layers has; each layer's are sorted, each once, and so is the answer."""
    filled = [places for places in layers if len(places)]
    if not filled:
        return np.empty(0, np.int64)
    return filled[0] if len(filled) == 1 else np.unique(np.concatenate(filled))


def count_by_zoom(places: Places) -> dict[int, int]:
    """How many of sorted places each zoom has; zooms without one are left out."""
    starts = np.searchsorted(places, np.arange(MAX_ZOOM + 2, dtype=np.int64) << MORTON_BITS)
    counts = np.diff(starts)
    return {zoom: int(count) for zoom, count in enumerate(counts) if count}


def cells_of(
    places: Places, zoom_level: int, *, finest: int, most: int, window: GridRange | None = None
) -> CoverageCells:
    """The cells that hold tiles of a zoom, of the finest zoom up to `finest` at which `most` are enough.

    With `window`, a rectangle of the grid of `zoom_level`, only tiles within it are counted. `places` are
    sorted. Raises `ValueError` for a zoom outside 0..22, and for `most` below 1.
    """
    if most < 1:
        raise ValueError(f"most must be 1 or more, got {most!r}")
    cell_zoom = min(check_zoom(zoom_level), check_zoom(finest))
    curve = _within(places, zoom_level, window)
    while True:
        shift = 2 * (zoom_level - cell_zoom)
        cells = curve >> shift
        starts = _starts(cells)
        if len(starts) <= most or cell_zoom == 0:
            break
        cell_zoom -= 1
    counts = np.diff(np.append(starts, len(cells))).astype(np.int64)
    chosen = cells[starts]
    return CoverageCells(zoom_level, cell_zoom, gathered(chosen), gathered(chosen >> 1), counts)


def _within(places: Places, zoom_level: int, window: GridRange | None) -> Columns:
    """The places of one zoom on its Z-curve, ascending; with a window those within it."""
    first, last = 0, (1 << 2 * zoom_level) - 1
    if window is not None:
        # Along the Z-curve every place of a rectangle lies between those of its two corners.
        first, last = morton(window.min_x, window.min_y), morton(window.max_x, window.max_y)
    base = zoom_level << MORTON_BITS
    begin, end = np.searchsorted(places, [base + first, base + last + 1])
    curve: Columns = places[begin:end] & _MORTON_MASK
    if window is None:
        return curve
    x, y = gathered(curve), gathered(curve >> 1)
    inside: Columns = curve[
        (x >= window.min_x) & (x <= window.max_x) & (y >= window.min_y) & (y <= window.max_y)
    ]
    return inside


def _starts(ascending: Columns) -> npt.NDArray[np.intp]:
    """The position of the first of each group of equal numbers."""
    if not len(ascending):
        return np.empty(0, np.intp)
    changes = np.flatnonzero(ascending[1:] != ascending[:-1]) + 1
    return np.concatenate([np.zeros(1, np.intp), changes])


def _distinct(ascending: Columns) -> Columns:
    distinct: Columns = ascending[_starts(ascending)]
    return distinct
