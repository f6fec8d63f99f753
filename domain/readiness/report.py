"""Go or no-go: what is there of each leg and zoom, what else a flight needs, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from ..values.corridors import RowSpans, merge_spans
from ..values.coverage import TileRun, coverage_of
from ..values.tile_grid import Bbox
from .flight_plan import PlannedLeg, WantedTiles
from .judge_tiles import Faults, TileFault


@attrs.frozen
class FaultyTiles:
    """The tiles of one leg and zoom that have one fault."""

    fault: TileFault
    tiles: int
    rows: RowSpans = attrs.field(eq=False)
    """All of them, neighbours of one row together, from north to south; their owner is 0."""
    boxes: tuple[Bbox, ...]
    """The box around all of them; two across the antimeridian."""


@attrs.frozen
class ZoomReadiness:
    """What is there of one leg at one zoom."""

    zoom_level: int
    wanted: int
    """How many tiles share a point with the corridor."""
    present: int
    whole: int
    """Their digests were checked since their last change."""
    fresh: int
    """At the time at which the aircraft leaves the leg."""
    described: int
    """They are in the index in use."""
    ready: int
    """All of that."""
    faults: tuple[FaultyTiles, ...]
    """What is wrong, the worst first."""


@attrs.frozen
class LegReadiness:
    """What is there of one leg."""

    planned: PlannedLeg
    zooms: tuple[ZoomReadiness, ...]

    @property
    def is_ready(self) -> bool:
        """Whether every tile of it is."""
        return all(zoom.ready == zoom.wanted for zoom in self.zooms)


@attrs.frozen
class Condition:
    """Something that a flight needs beside its tiles."""

    name: str
    """Such as `clock`."""
    holds: bool
    detail: str
    """What was found."""
    remedy: str | None = None
    """Which command mends it; None where it holds."""

    def __attrs_post_init__(self) -> None:
        if self.holds is not (self.remedy is None):
            raise ValueError(f"a condition has a remedy where it does not hold, got {self!r}")


@attrs.frozen
class Lack:
    """A reason for no-go among the tiles, over all legs."""

    fault: TileFault
    tiles: int
    """How many tiles; one that several legs need counts once."""
    remedy: str


@attrs.frozen(eq=False)
class Readiness:
    """The answer: go, or no-go with every reason."""

    legs: tuple[LegReadiness, ...]
    conditions: tuple[Condition, ...]
    lacks: tuple[Lack, ...]
    wanted: WantedTiles
    """Every tile of every leg, for a picture."""
    faults: Faults
    """The faults of each of them."""
    tiles: int
    """How many tiles the flight needs; one that several legs need counts once."""

    @property
    def is_go(self) -> bool:
        """Whether nothing is missing."""
        return not self.lacks and all(condition.holds for condition in self.conditions)


def leg_reports(wanted: WantedTiles, faults: Faults, legs: Sequence[PlannedLeg]) -> tuple[LegReadiness, ...]:
    """Each leg with the counts of each zoom."""
    order = np.lexsort((wanted.x, wanted.y, wanted.zoom, wanted.leg))
    leg, zoom = wanted.leg[order], wanted.zoom[order]
    group = leg << 8 | zoom
    zooms = sorted(set(np.unique(zoom).tolist()))
    return tuple(
        LegReadiness(
            planned,
            tuple(
                _zoom_report(
                    level,
                    wanted,
                    faults,
                    order[slice(*np.searchsorted(group, [number << 8 | level, (number << 8 | level) + 1]))],
                )
                for level in zooms
            ),
        )
        for number, planned in enumerate(legs)
    )


def _zoom_report(
    level: int, wanted: WantedTiles, faults: Faults, of_zoom: npt.NDArray[np.intp]
) -> ZoomReadiness:
    found = faults[of_zoom]
    missing = found & TileFault.MISSING != 0

    def without(*kinds: TileFault) -> int:
        bad = missing.copy()
        for kind in kinds:
            bad |= found & kind != 0
        return int((~bad).sum())

    reports = []
    for fault in sorted(TileFault, reverse=True):
        faulty = of_zoom[found & fault != 0]
        if len(faulty):
            reports.append(_faulty(fault, level, wanted, faulty))
    return ZoomReadiness(
        level,
        wanted=len(found),
        present=without(),
        whole=without(TileFault.DAMAGED, TileFault.NOT_CHECKED),
        fresh=without(TileFault.STALE),
        described=without(TileFault.UNDESCRIBED),
        ready=int((found == 0).sum()),
        faults=tuple(reports),
    )


def _faulty(fault: TileFault, level: int, wanted: WantedTiles, faulty: npt.NDArray[np.intp]) -> FaultyTiles:
    x, y = wanted.x[faulty], wanted.y[faulty]
    rows = merge_spans(RowSpans(np.zeros(len(x), np.int64), y, x, x))
    north, south = int(y.min()), int(y.max())
    runs = [TileRun(level, column, north, south) for column in np.unique(x).tolist()]
    (around,) = coverage_of(runs)
    return FaultyTiles(fault, len(faulty), rows, around.boxes)
