"""Stored verdicts that other sectors, or another rule, would change."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from aerotile.adapters.memory.sector_index import MemorySectorIndex
from aerotile.domain.policies.freshness import FreshnessDecision
from aerotile.domain.store.changed_verdicts import StoredLabel, count_changed_verdicts
from aerotile.domain.store.freshness_gate import SectorListJudge
from aerotile.domain.values.sectors import SEEDED_RULES, SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Polygon
from aerotile.domain.values.tiles import FreshnessLabel, TileId, TileSource

STORED_AT = datetime(2026, 5, 1, tzinfo=timezone.utc)
RULES = {rule.classification: rule for rule in SEEDED_RULES}


def label(lat: float, lon: float, age_days: int, label: FreshnessLabel) -> StoredLabel:
    tile_id = TileId.covering(lat, lon, 14, TileSource.IMPORTED)
    return StoredLabel(tile_id, STORED_AT - timedelta(days=age_days), STORED_AT, label)


def test_tiles_are_counted_that_are_judged_otherwise_as_of_their_write() -> None:
    front = SectorBoundary(
        "f", SectorClassification.ACTIVE_CONFLICT, Polygon([[(10, 50), (12, 50), (10, 51)]])
    )
    judge = SectorListJudge(MemorySectorIndex([front]), RULES, SectorClassification.STABLE_REAR)
    stored = [
        label(50.1, 10.1, 200, FreshnessLabel.FRESH),  # in the triangle
        label(
            50.1, 10.2, 170, FreshnessLabel.FRESH
        ),  # young enough when it was stored, whatever its age is now
        label(50.9, 11.9, 200, FreshnessLabel.FRESH),  # in the triangle's box alone
        label(50.9, 11.8, 400, FreshnessLabel.DOWNGRADED),
        label(50.9, 11.7, 400, FreshnessLabel.FRESH),
        label(50.9, 11.6, 200, FreshnessLabel.DOWNGRADED),
    ]
    assert count_changed_verdicts(stored, judge.verdict_on) == {
        FreshnessDecision.REJECT: 1,
        FreshnessDecision.DOWNGRADE: 1,
        FreshnessDecision.ACCEPT: 1,
    }
