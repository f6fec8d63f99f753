"""Go or no-go for a flight: every tile of its corridor, and everything else that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .flight_plan import FlightPlan, wanted_tiles
from .held_tiles import HeldTiles, IndexedTiles
from .judge_tiles import Judge, TileFault, judge_tiles
from .report import Condition, Lack, Readiness, leg_reports


def check_readiness(
    plan: FlightPlan,
    *,
    layers: Sequence[HeldTiles],
    index: IndexedTiles | None,
    judge: Judge,
    conditions: Sequence[Condition],
    remedies: Mapping[TileFault, str],
) -> Readiness:
    """Judge every tile that the plan needs, leg by leg, and gather the reasons for no-go.

    `layers` come in the order in which they are read, a base in front of its store. `index` is None where
    none can be used; then no tile is described. `conditions` is what else was looked at, and `remedies` says
    for each fault of a tile what mends it. Reads no tile: digests are compared by `aerotile verify`.
    """
    legs = plan.legs()
    wanted = wanted_tiles(plan)
    faults = judge_tiles(wanted, legs, layers, index, judge)
    lacks = []
    for fault in sorted(TileFault, reverse=True):
        tiles = int(np.count_nonzero(np.bincount(wanted.place[faults & fault != 0])))
        if tiles:
            lacks.append(Lack(fault, tiles, remedies[fault]))
    return Readiness(
        leg_reports(wanted, faults, legs),
        tuple(conditions),
        tuple(lacks),
        wanted,
        faults,
        len(wanted.places),
    )
