"""Tile ids of PMTiles version 3: all smaller zooms, then the place along the Hilbert curve of the zoom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...domain.values.coverage_cells import gathered
from ...domain.values.tile_grid import MAX_ZOOM
from ...domain.values.tile_key import MORTON_BITS, VARIANT_BITS

Ids = npt.NDArray[np.uint64]
Columns = npt.NDArray[np.int64]

FIRST_IDS = np.array([((1 << 2 * zoom) - 1) // 3 for zoom in range(MAX_ZOOM + 2)], np.int64)
"""The first id of each zoom, and the first one beyond the grid."""
_MORTON_MASK = (1 << MORTON_BITS) - 1


def archive_ids(zooms: Columns, x: Columns, y: Columns) -> Ids:
    """The id of each tile."""
    x, y, ids = x.copy(), y.copy(), FIRST_IDS[zooms].copy()
    for bit in range(int(zooms.max(initial=0)) - 1, -1, -1):
        # A tile of a smaller zoom has no such bit, and its curve is not turned there.
        there = bit < zooms
        right, down = (x >> bit & 1).astype(bool), (y >> bit & 1).astype(bool)
        ids += np.where(there, ((3 * right) ^ down).astype(np.int64) << 2 * bit, 0)
        mirrored = there & ~down & right
        low = (1 << bit) - 1
        x, y = np.where(mirrored, low - (x & low), x & low), np.where(mirrored, low - (y & low), y & low)
        turned = there & ~down
        x, y = np.where(turned, y, x), np.where(turned, x, y)
    unsigned: Ids = ids.astype(np.uint64)
    return unsigned


def places_of_ids(ids: Ids) -> tuple[Columns, Columns, Columns]:
    """Zoom, column and row of each id, which lies below the last of `FIRST_IDS`; `archive_ids` undone."""
    signed = ids.astype(np.int64)
    zooms = np.searchsorted(FIRST_IDS, signed, "right").astype(np.int64) - 1
    left = signed - FIRST_IDS[zooms]
    x, y = np.zeros_like(left), np.zeros_like(left)
    for bit in range(int(zooms.max(initial=0))):
        there = bit < zooms
        right = there & (left >> 1 & 1).astype(bool)
        down = there & ((left ^ right) & 1).astype(bool)
        mirrored, turned, low = right & ~down, there & ~down, (1 << bit) - 1
        x, y = np.where(mirrored, low - x, x), np.where(mirrored, low - y, y)
        x, y = np.where(turned, y, x), np.where(turned, x, y)
        x += right.astype(np.int64) << bit
        y += down.astype(np.int64) << bit
        left >>= 2
    return zooms, x, y


def archive_ids_of_keys(keys: npt.NDArray[np.int64]) -> Ids:
    """The id of each tile key's place."""
    curve = keys >> VARIANT_BITS & _MORTON_MASK
    return archive_ids(keys >> (VARIANT_BITS + MORTON_BITS), gathered(curve), gathered(curve >> 1))
