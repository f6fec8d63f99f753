"""Judging by several grounds, such as those of a sealed base and of a store: the strictest verdict counts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.sector_index import MemorySectorIndex
from aerotile.domain.policies.freshness import (
    FreshnessDecision,
    FreshnessGrounds,
    judge_freshness,
    rules_by_classification,
    strictness,
)
from aerotile.domain.store.freshness_gate import FreshnessGate
from aerotile.domain.values.sectors import SEEDED_RULES, FreshnessRule, SectorBoundary, SectorClassification
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.domain.values.timestamps import microseconds_of

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
CONFLICT = SectorClassification.ACTIVE_CONFLICT
REAR = SectorClassification.STABLE_REAR
TILE = TileId.covering(48.0, 35.0, 12, TileSource.SATELLITE_PROVIDER)
EVERYWHERE = Bbox(-85.0, -180.0, 85.0, 180.0)
ELSEWHERE = Bbox(-10.0, -10.0, 0.0, 0.0)

classifications = st.sampled_from(SectorClassification)
boundaries = st.builds(
    SectorBoundary,
    st.sampled_from("abc"),
    classifications,
    st.sampled_from([EVERYWHERE, ELSEWHERE, TILE.bbox]),
)
rule_sets = st.tuples(*[st.integers(1, 900)] * 2).map(
    lambda days: tuple(
        FreshnessRule(kind, timedelta(days=age)) for kind, age in zip(SectorClassification, days, strict=True)
    )
)
some_grounds = st.builds(
    FreshnessGrounds, st.lists(boundaries, max_size=2).map(tuple), rule_sets, classifications
)


def gate_over(grounds: list[FreshnessGrounds]) -> FreshnessGate:
    return FreshnessGate(grounds, MemorySectorIndex, clock=ManualClock(NOW), recorder=MemoryFlightRecorder())


@given(st.lists(some_grounds, min_size=1, max_size=3), st.integers(0, 1000))
def test_the_strictest_verdict_by_any_of_the_grounds_counts(
    grounds: list[FreshnessGrounds], days: int
) -> None:
    captured_at = NOW - timedelta(days=days)
    verdict = gate_over(grounds).verdict_on(TILE, microseconds_of(captured_at), NOW)
    each_alone = [
        judge_freshness(
            TILE,
            captured_at,
            NOW,
            MemorySectorIndex(each.sectors).sectors_intersecting(TILE.bbox),
            rules_by_classification(each.rules, each.sectors, each.default_classification),
            each.default_classification,
        )
        for each in grounds
    ]
    assert verdict.decision >= max(alone.decision for alone in each_alone)
    shortest = {
        kind: min(rule.max_age for each in grounds for rule in each.rules if rule.classification is kind)
        for kind in SectorClassification
    }
    assert verdict.rule.max_age == shortest[verdict.rule.classification]


def test_a_lenient_sector_of_the_store_does_not_pass_by_the_stricter_default_of_a_base() -> None:
    store = FreshnessGrounds((SectorBoundary("rear", REAR, EVERYWHERE),), SEEDED_RULES, REAR)
    base = FreshnessGrounds((), SEEDED_RULES, CONFLICT)
    captured_us = microseconds_of(NOW - timedelta(days=300))
    assert gate_over([store]).verdict_on(TILE, captured_us, NOW).decision is FreshnessDecision.ACCEPT
    for both in ([store, base], [base, store]):
        verdict = gate_over(both).verdict_on(TILE, captured_us, NOW)
        assert (verdict.decision, verdict.rule.classification) == (FreshnessDecision.REJECT, CONFLICT)


def test_of_equally_strict_verdicts_the_first_counts() -> None:
    grounds = [
        FreshnessGrounds((SectorBoundary(name, REAR, EVERYWHERE),), SEEDED_RULES, REAR) for name in "ab"
    ]
    for both in (grounds, grounds[::-1]):
        verdict = gate_over(both).verdict_on(TILE, microseconds_of(NOW), NOW)
        assert verdict.sector == both[0].sectors[0]
        assert strictness(verdict)[0] is FreshnessDecision.ACCEPT


@pytest.mark.parametrize("kind", SectorClassification)
def test_the_stricter_of_two_defaults_counts(kind: SectorClassification) -> None:
    for default in SectorClassification:
        grounds = FreshnessGrounds((), SEEDED_RULES, default).with_default(kind)
        assert grounds.default_classification is (CONFLICT if CONFLICT in (kind, default) else REAR)
