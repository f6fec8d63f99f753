"""Freshness of many tiles, judged one by one as of any time and counted in cells of a coarser grid."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import attrs

from ..policies.freshness import FreshnessDecision, FreshnessVerdict
from ..ports.tile_store import SupportsLocalReads
from ..values.tile_grid import Bbox
from ..values.tiles import TileId
from ..values.timestamps import microseconds_of


@attrs.define
class FreshnessCell:
    """How many tiles in one cell each decision has."""

    accepted: int = 0
    downgraded: int = 0
    rejected: int = 0


def judge_cells(
    tiles: SupportsLocalReads,
    judge: Callable[[TileId, int, datetime], FreshnessVerdict],
    bbox: Bbox,
    zoom_level: int,
    *,
    at: datetime,
    cell_zoom: int,
) -> dict[tuple[int, int], FreshnessCell]:
    """By column and row at `cell_zoom`, the decisions as of `at` on the tiles of one zoom in a box.

    Every source of a place is judged. The time that it takes grows with the tiles, about 3 us each.
    """
    shift = zoom_level - cell_zoom
    cells: dict[tuple[int, int], FreshnessCell] = {}
    for entry in tiles.query_by_bbox(bbox, zoom_level):
        tile_id = entry.tile_id
        cell = cells.setdefault((tile_id.x >> shift, tile_id.y >> shift), FreshnessCell())
        decision = judge(tile_id, microseconds_of(entry.captured_at), at).decision
        if decision is FreshnessDecision.ACCEPT:
            cell.accepted += 1
        elif decision is FreshnessDecision.DOWNGRADE:
            cell.downgraded += 1
        else:
            cell.rejected += 1
    return cells
