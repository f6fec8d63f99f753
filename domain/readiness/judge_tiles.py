"""What is wrong with each tile that a flight needs: it is missing, damaged, stale, undescribed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import IntFlag

import numpy as np
import numpy.typing as npt

from ..policies.freshness import FreshnessDecision, FreshnessVerdict
from ..values.tiles import TileId
from .flight_plan import PlannedLeg, WantedTiles
from .held_tiles import DAMAGED, NOT_CHECKED, Candidates, HeldTiles, IndexedTiles

Judge = Callable[[TileId, int, datetime], FreshnessVerdict]
"""The verdict on a tile: tile id, capture time in microseconds since 1970, time of judgement."""


class TileFault(IntFlag):
    """What is wrong with a tile that a flight needs; a greater value is worse."""

    NOT_CHECKED = 1
    """Its digest was not compared since its last change."""
    UNDESCRIBED = 2
    """The index in use does not hold it, so no lookup finds it."""
    STALE = 4
    """Too old, by the freshness rules, at the time at which the aircraft is over it."""
    DAMAGED = 8
    """Its bytes are not those of its digest."""
    MISSING = 16
    """No layer holds a tile there."""


Faults = npt.NDArray[np.uint8]


def fault_ranks(faults: Faults) -> npt.NDArray[np.int64]:
    """How bad the worst fault of each tile is: 0 where there is none, 1 `NOT_CHECKED` to 5 `MISSING`."""
    return np.array([value.bit_length() for value in range(2 * TileFault.MISSING)])[faults]


def judge_tiles(
    wanted: WantedTiles,
    legs: Sequence[PlannedLeg],
    layers: Sequence[HeldTiles],
    index: IndexedTiles | None,
    judge: Judge,
) -> Faults:
    """The faults of each wanted tile, as `TileFault`s.

    Several sources may have a tile there: the one counts whose faults are the least.
    """
    places = np.arange(len(wanted.places))
    tiles = Candidates.at(wanted.places, layers, index)
    always = np.zeros(len(tiles.place), np.uint8)
    always[~tiles.indexed] |= np.uint8(TileFault.UNDESCRIBED)
    always[tiles.wholeness == NOT_CHECKED] |= np.uint8(TileFault.NOT_CHECKED)
    always[tiles.wholeness == DAMAGED] |= np.uint8(TileFault.DAMAGED)
    begins = np.searchsorted(tiles.place, places)
    counts = np.searchsorted(tiles.place, places, side="right") - begins
    # One row for each wanted tile and each source that has it.
    rows = counts[wanted.place]
    pair = np.repeat(np.arange(len(wanted)), rows)
    tile = np.arange(len(pair)) - np.repeat(np.cumsum(rows) - rows - begins[wanted.place], rows)
    faults = always[tile]
    faults[_stale(tiles, tile, wanted.leg[pair], legs, judge)] |= np.uint8(TileFault.STALE)
    judged = np.full(len(wanted), int(TileFault.MISSING), np.uint8)
    np.minimum.at(judged, pair, faults)
    return judged


def _stale(
    tiles: Candidates,
    tile: npt.NDArray[np.int64],
    leg: npt.NDArray[np.int64],
    legs: Sequence[PlannedLeg],
    judge: Judge,
) -> npt.NDArray[np.bool_]:
    """Whether each tile is stale when the aircraft leaves its leg.

    A tile only grows older: one that is fresh at the end of the last leg is fresh over all of them.
    """
    latest = max(planned.ends_at for planned in legs)
    accept = FreshnessDecision.ACCEPT
    stale_at_last = np.fromiter(
        (
            judge(tile_id, captured_us, latest).decision is not accept
            for tile_id, captured_us in zip(tiles.tile_ids, tiles.captured_us.tolist(), strict=True)
        ),
        np.bool_,
        len(tiles.tile_ids),
    )
    stale: npt.NDArray[np.bool_] = stale_at_last[tile]
    for row in np.flatnonzero(stale).tolist():
        one = int(tile[row])
        ends_at = legs[int(leg[row])].ends_at
        if ends_at != latest:
            verdict = judge(tiles.tile_ids[one], int(tiles.captured_us[one]), ends_at)
            stale[row] = verdict.decision is not accept
    return stale
