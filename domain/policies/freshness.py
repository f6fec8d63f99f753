"""How old a tile may be in its sector: which tile is fresh, and which is stale.

The age is `now - captured_at`. Several sectors may lie over one tile, and ground that no sector covers has
the default classification; the strictest verdict wins. A tile ages while it is stored, so each later read
judges the tile again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum

import attrs

from ..errors import CaptureTimeInFutureError, ConfigurationError
from ..values.sector_coverage import covers_tile
from ..values.sectors import FreshnessRule, SectorBoundary, SectorClassification
from ..values.tiles import TileId
from .clock_trust import ClockFault, is_in_future

Rules = Mapping[SectorClassification, FreshnessRule]


class FreshnessDecision(IntEnum):
    """What the freshness gate does with a tile; a greater value is stricter."""

    ACCEPT = 0
    """Young enough."""
    DOWNGRADE = 1
    """Too old; stored with the label `downgraded`."""
    REJECT = 2
    """Too old; a write is refused."""


@attrs.frozen
class FreshnessVerdict:
    """A decision and its reasons."""

    decision: FreshnessDecision
    """The strictest of all sectors over the tile, and of the default for ground in no sector."""
    age: timedelta
    """Now less the capture time, at least zero."""
    rule: FreshnessRule
    """The rule that decided."""
    sector: SectorBoundary | None
    """The sector whose rule decided; None when the default classification did, for ground in no sector."""
    clock_fault: ClockFault | None = None
    """Why the clock is not trusted: the true age may be greater. None: the clock is trusted."""
    recalled: str | None = None
    """The recall list and the entry that name the tile, which is rejected at any age. None: none does."""


TOO_OLD = {
    SectorClassification.ACTIVE_CONFLICT: FreshnessDecision.REJECT,
    SectorClassification.STABLE_REAR: FreshnessDecision.DOWNGRADE,
}
"""The decision on a tile that is older than the rule of a classification allows."""


_STRICTNESS = {kind: -rank for rank, kind in enumerate(SectorClassification)}


def strictness(verdict: FreshnessVerdict) -> tuple[FreshnessDecision, int]:
    """What the strictest of several verdicts has most of."""
    return verdict.decision, _STRICTNESS[verdict.rule.classification]


def judge_freshness(
    tile_id: TileId,
    captured_at: datetime,
    now: datetime,
    sectors: Iterable[SectorBoundary],
    rules: Rules,
    default_classification: SectorClassification,
) -> FreshnessVerdict:
    """The strictest verdict of the sectors over a tile and, unless they cover all of it, of the default.

    `sectors` are those whose shape shares a point with the tile's box. A capture time ahead of `now` counts
    as `now`: a stored tile must stay readable when the clock is wrong.
    """
    over = tuple(sectors)
    age = max(now - captured_at, timedelta(0))

    def verdict(classification: SectorClassification, sector: SectorBoundary | None) -> FreshnessVerdict:
        rule = rules[classification]
        decision = FreshnessDecision.ACCEPT if age <= rule.max_age else TOO_OLD[classification]
        return FreshnessVerdict(decision, age, rule, sector)

    elsewhere = verdict(default_classification, None)
    strictest = max(
        (verdict(sector.classification, sector) for sector in over), key=strictness, default=elsewhere
    )
    if strictness(elsewhere) <= strictness(strictest):
        return strictest
    shapes = (sector.shape for sector in over)
    covered = covers_tile(shapes, tile_id.zoom_level, tile_id.x, tile_id.y)
    return strictest if covered else elsewhere


def check_capture_time(captured_at: datetime, now: datetime, tile_id: TileId | None = None) -> None:
    """Raise `CaptureTimeInFutureError` for a capture time that `clock_trust.is_in_future` of `now`."""
    if is_in_future(captured_at, now):
        raise CaptureTimeInFutureError(captured_at, now, tile_id=tile_id)


@attrs.frozen
class FreshnessGrounds:
    """What freshness is judged by."""

    sectors: tuple[SectorBoundary, ...]
    rules: tuple[FreshnessRule, ...]
    default_classification: SectorClassification

    def with_default(self, other: SectorClassification) -> FreshnessGrounds:
        """These grounds with the stricter one of two default classifications."""
        stricter = max(self.default_classification, other, key=_STRICTNESS.__getitem__)
        return attrs.evolve(self, default_classification=stricter)


def with_shortest_ages(grounds: Iterable[FreshnessGrounds]) -> tuple[FreshnessGrounds, ...]:
    """The grounds, each with the rules of all; of two rules for one classification the shorter age counts."""
    grounds = tuple(grounds)
    rules: dict[SectorClassification, FreshnessRule] = {}
    for rule in (rule for each in grounds for rule in each.rules):
        known = rules.setdefault(rule.classification, rule)
        if rule.max_age < known.max_age:
            rules[rule.classification] = rule
    return tuple(attrs.evolve(each, rules=tuple(rules.values())) for each in grounds)


def rules_by_classification(
    rules: Iterable[FreshnessRule],
    sectors: Iterable[SectorBoundary],
    default_classification: SectorClassification,
) -> Rules:
    """The rules as a table. Raises `ConfigurationError` when a sector or the default has no rule."""
    table = {rule.classification: rule for rule in rules}
    for sector in sectors:
        if sector.classification not in table:
            raise ConfigurationError(
                f"sector {sector.sector_id} is {sector.classification.value}, which has no freshness rule",
                remedy="add the rule to tile_freshness_rules",
            )
    if default_classification not in table:
        raise ConfigurationError(
            f"the default classification {default_classification.value} has no freshness rule",
            remedy="add the rule to tile_freshness_rules, or change freshness.default_classification",
        )
    return table
