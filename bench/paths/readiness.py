"""P-22: go or no-go of a route of 500 km, from the facts of 170,000 tiles at three zooms.

Tiles lie in one layer, all are whole, described and judged among 10,000 sectors; no digest is read again. Not
timed: opening the store, and reading its catalogue (P-13).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import attrs
import numpy as np
from harness.operations import Calls, Operation
from harness.sectors import NOW, load_sectors, sectors
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import Workshop

from aerotile import VariantTable
from aerotile.adapters.composition import runtime_of
from aerotile.domain.readiness.check_readiness import check_readiness
from aerotile.domain.readiness.flight_plan import FlightPlan, wanted_tiles
from aerotile.domain.readiness.held_tiles import WHOLE, HeldTiles, IndexedTiles
from aerotile.domain.readiness.judge_tiles import Judge, TileFault
from aerotile.domain.values.routes import Route
from aerotile.ext import TileKeyCodec

from .freshness import microseconds_of

_ROUTE = ((28.0, 48.0), (29.6, 48.6), (31.0, 49.5), (32.4, 50.3), (33.4, 50.6))
"""Longitudes and latitudes; 500 km over the theatre of `sectors`."""
_ZOOMS = (15, 16, 17)
_HALF_WIDTH_M = 5_000.0
_IMPORTED = 1
"""The variant of imported tiles, the lowest bits of a key."""


@attrs.frozen
class _Prepared:
    plan: FlightPlan
    held: HeldTiles
    index: IndexedTiles
    judge: Judge


@contextmanager
def _prepared(workshop: Workshop) -> Iterator[_Prepared]:
    config = workshop.config("readiness")
    dsn = config.database.dsn
    assert dsn is not None
    load_sectors(dsn.reveal(), sectors(workshop.sizes.sectors))
    gate: Any = runtime_of(config).part("freshness_gate")
    plan = FlightPlan(Route(list(_ROUTE)), _HALF_WIDTH_M, _ZOOMS, NOW, speed_m_s=50.0)
    keys = wanted_tiles(plan).places + _IMPORTED
    variants = VariantTable()
    captured_us = np.full(len(keys), microseconds_of(NOW - timedelta(days=30)), np.int64)
    whole = np.full(len(keys), WHOLE, np.uint8)
    held = HeldTiles("store", keys, variants, captured_us, whole, TileKeyCodec(variants).decode_many)
    yield _Prepared(plan, held, IndexedTiles(keys[::-1].copy(), variants), gate.verdict_on)


@contextmanager
def _ours(workshop: Workshop) -> Iterator[Operation]:
    given = workshop.shared(_prepared)
    remedies = dict.fromkeys(TileFault, "bring them")

    def call() -> None:
        answer = check_readiness(
            given.plan,
            layers=[given.held],
            index=given.index,
            judge=given.judge,
            conditions=[],
            remedies=remedies,
        )
        assert answer.is_go

    yield Calls(call=call, facts=lambda: {"tiles": len(given.held.keys)})


@contextmanager
def _floor(workshop: Workshop) -> Iterator[Operation]:
    """For places that are known: look each up, name it, judge it, and look it up in the index."""
    given = workshop.shared(_prepared)
    held, places = given.held, given.held.keys - _IMPORTED
    indexed = np.sort(given.index.keys)
    ends_at = given.plan.legs()[-1].ends_at

    def call() -> None:
        rows = np.searchsorted(held.keys, places)
        keys = held.keys[rows]
        found = indexed[np.minimum(np.searchsorted(indexed, keys), len(indexed) - 1)] == keys
        judge = given.judge
        for tile_id, captured_us in zip(held.decode(keys), held.captured_us[rows].tolist(), strict=True):
            judge(tile_id, captured_us, ends_at)
        assert found.all()

    yield Calls(call=call)


READY = MeasuredPath(
    id="P-22",
    subjects=(
        Subject(
            name="Aerotile",
            role=Role.OURS,
            open=_ours,
            note="corridor, look-up, verdicts and index membership by leg and zoom, whole, described, all go",
        ),
        Subject(
            name="look-up, verdict and membership",
            role=Role.FLOOR,
            open=_floor,
            note="of the same tiles, whose places are known: numpy's searchsorted, and our own verdict",
        ),
    ),
    full=Effort(blocks=8, rounds=1),
    quick=Effort(blocks=4, rounds=1),
)
