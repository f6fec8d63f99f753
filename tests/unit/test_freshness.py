"""The freshness gate: the table of the specification, and what happens where sectors overlap."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.sector_index import MemorySectorIndex
from aerotile.domain.errors import (
    CaptureTimeInFutureError,
    ConfigurationError,
    FreshnessRejectionError,
    TileMetadataError,
)
from aerotile.domain.flight_events import EventKind
from aerotile.domain.policies.clock_trust import TOLERANCE
from aerotile.domain.policies.freshness import FreshnessDecision, FreshnessGrounds, judge_freshness
from aerotile.domain.store.freshness_gate import FreshnessGate
from aerotile.domain.values.sectors import SEEDED_RULES, FreshnessRule, SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Polygon, corners_of
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import FreshnessLabel, TileId, TileMetadata, TileSource
from aerotile.domain.values.timestamps import microseconds_of

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
CONFLICT = SectorClassification.ACTIVE_CONFLICT
REAR = SectorClassification.STABLE_REAR
NOW_US = microseconds_of(NOW)
RULES = {rule.classification: rule for rule in SEEDED_RULES}
TILE = TileId.covering(48.0, 35.0, 12, TileSource.SATELLITE_PROVIDER)
EVERYWHERE = Bbox(-85.0, -180.0, 85.0, 180.0)
ages = st.timedeltas(min_value=-TOLERANCE, max_value=timedelta(days=4000))
classifications = st.sampled_from(SectorClassification)


def sector(
    classification: SectorClassification, shape: Bbox | Polygon = EVERYWHERE, name: str = "s"
) -> SectorBoundary:
    return SectorBoundary(name, classification, shape)


def gate(
    *sectors: SectorBoundary, default: SectorClassification = REAR
) -> tuple[FreshnessGate, MemoryFlightRecorder, ManualClock]:
    recorder, clock = MemoryFlightRecorder(), ManualClock(NOW)
    built = FreshnessGate(
        [FreshnessGrounds(sectors, SEEDED_RULES, default)], MemorySectorIndex, clock=clock, recorder=recorder
    )
    return built, recorder, clock


def aged(age: timedelta, tile_id: TileId = TILE) -> TileMetadata:
    return example_metadata(tile_id, b"a", captured_at=NOW - age)


@given(age=ages, classification=classifications)
@example(age=-timedelta(microseconds=1), classification=CONFLICT)
def test_the_table_of_the_specification_holds_for_every_age(
    age: timedelta, classification: SectorClassification
) -> None:
    verdict = judge_freshness(TILE, NOW - age, NOW, [sector(classification)], RULES, REAR)
    limit = timedelta(days=180 if classification is CONFLICT else 365)
    too_old = FreshnessDecision.REJECT if classification is CONFLICT else FreshnessDecision.DOWNGRADE
    assert verdict.decision is (FreshnessDecision.ACCEPT if age <= limit else too_old)
    assert verdict.age == max(age, timedelta(0))
    assert verdict.rule.max_age == limit


@given(age=ages, over=st.lists(classifications, max_size=5), days=st.tuples(*[st.integers(1, 3000)] * 2))
def test_the_strictest_of_several_sectors_wins_whatever_the_rules(
    age: timedelta, over: list[SectorClassification], days: tuple[int, int]
) -> None:
    rules = {
        kind: FreshnessRule(kind, timedelta(days=limit))
        for kind, limit in zip(SectorClassification, days, strict=True)
    }
    sectors = [sector(kind, name=str(place)) for place, kind in enumerate(over)]
    together = judge_freshness(TILE, NOW - age, NOW, sectors, rules, REAR)
    alone = [judge_freshness(TILE, NOW - age, NOW, [s], rules, REAR) for s in sectors]
    expected = max((v.decision for v in alone), default=None)
    if expected is None:
        assert together.sector is None
        assert together.rule.classification is REAR
    else:
        assert together.decision is expected
        assert together.sector in sectors


def test_between_equal_decisions_the_stricter_classification_is_named() -> None:
    verdict = judge_freshness(
        TILE, NOW, NOW, [sector(REAR, name="a"), sector(CONFLICT, name="b")], RULES, REAR
    )
    assert verdict.sector is not None
    assert verdict.sector.sector_id == "b"


def test_a_fresh_tile_keeps_its_very_metadata_object() -> None:
    freshness_gate, recorder, _ = gate(sector(CONFLICT))
    metadata = aged(timedelta(days=180))
    assert freshness_gate.admit(metadata, NOW) is metadata
    assert recorder.events == ()


def test_an_old_tile_in_a_stable_rear_is_labelled_on_a_copy_and_recorded() -> None:
    freshness_gate, recorder, _ = gate(sector(REAR))
    metadata = aged(timedelta(days=365, seconds=1))
    admitted = freshness_gate.admit(metadata, NOW)
    assert admitted.freshness_label is FreshnessLabel.DOWNGRADED
    assert metadata.freshness_label is FreshnessLabel.FRESH
    (event,) = recorder.events
    assert event.kind is EventKind.FRESHNESS_DOWNGRADED
    assert event.payload["tile"] == str(TILE)


def test_an_old_tile_in_an_active_conflict_is_refused_with_every_fact_and_recorded() -> None:
    freshness_gate, recorder, _ = gate(sector(CONFLICT))
    age = timedelta(days=180, seconds=1)
    with pytest.raises(FreshnessRejectionError) as refusal:
        freshness_gate.admit(aged(age), NOW)
    assert refusal.value.tile_id == TILE
    assert refusal.value.age_seconds == age.total_seconds()
    assert refusal.value.classification is CONFLICT
    assert refusal.value.rule == RULES[CONFLICT]
    (event,) = recorder.events
    assert event.kind is EventKind.FRESHNESS_REJECTED
    assert event.payload["age_seconds"] == age.total_seconds()


def test_a_sector_counts_when_it_merely_touches_the_tile() -> None:
    box = TILE.bbox
    corner = Bbox(box.max_lat, box.max_lon, min(box.max_lat + 1, 90.0), box.max_lon + 1)
    freshness_gate, _, _ = gate(sector(CONFLICT, corner))
    with pytest.raises(FreshnessRejectionError):
        freshness_gate.admit(aged(timedelta(days=200)), NOW)


def test_a_sector_does_not_count_for_ground_that_only_its_box_covers() -> None:
    # The triangle's long side passes south-west of the tile, which lies in the triangle's box.
    box = TILE.bbox
    west, south = box.min_lon - 1, box.min_lat - 1
    triangle = Polygon([[(west, south), (box.max_lon, south), (west, box.max_lat)]])
    hole = Bbox(box.min_lat - 0.01, box.min_lon - 0.01, box.max_lat + 0.01, box.max_lon + 0.01)
    around = Polygon([corners_of(EVERYWHERE), corners_of(hole)])
    for shape in (triangle, around):
        freshness_gate, _, _ = gate(sector(CONFLICT, shape))
        assert freshness_gate.admit(aged(timedelta(days=200)), NOW) is not None


def test_a_border_does_not_let_the_default_s_old_tiles_in_nor_a_stricter_default_be_passed_by() -> None:
    west = attrs.evolve(TILE.bbox, max_lon=TILE.centre[1])
    east = attrs.evolve(TILE.bbox, min_lon=TILE.centre[1])
    half, _, clock = gate(sector(REAR, west), default=CONFLICT)
    whole, _, _ = gate(sector(REAR, west, "w"), sector(REAR, east, "e"), default=CONFLICT)
    old = microseconds_of(NOW - timedelta(days=200))
    verdict = half.verdict_on(TILE, old, clock.now())
    assert (verdict.decision, verdict.sector) == (FreshnessDecision.REJECT, None)
    assert whole.verdict_on(TILE, old, clock.now()).decision is FreshnessDecision.ACCEPT


@pytest.mark.parametrize("default", list(SectorClassification))
def test_the_default_classification_rules_where_no_sector_does(default: SectorClassification) -> None:
    freshness_gate, _, clock = gate(sector(REAR, Bbox(-10, -10, -5, -5)), default=default)
    verdict = freshness_gate.verdict_on(TILE, NOW_US, clock.now())
    assert verdict.sector is None
    assert verdict.rule.classification is default


def test_an_age_is_never_negative_and_a_stored_tile_from_the_future_counts_as_of_now() -> None:
    verdict = judge_freshness(TILE, NOW + timedelta(days=9), NOW, [sector(CONFLICT)], RULES, REAR)
    assert (verdict.decision, verdict.age) == (FreshnessDecision.ACCEPT, timedelta(0))


def test_a_capture_time_five_minutes_ahead_is_accepted_and_one_more_microsecond_is_not() -> None:
    freshness_gate, _, _ = gate()
    freshness_gate.admit(aged(-TOLERANCE), NOW)
    with pytest.raises(TileMetadataError) as refusal:
        freshness_gate.admit(aged(-TOLERANCE - timedelta(microseconds=1)), NOW)
    assert isinstance(refusal.value, CaptureTimeInFutureError)
    assert refusal.value.tile_id == TILE


def test_a_stored_tile_stays_readable_when_the_clock_is_behind_its_capture_time() -> None:
    freshness_gate, _, clock = gate(sector(CONFLICT))
    clock.set(NOW - timedelta(days=20_000))
    assert freshness_gate.verdict_on(TILE, NOW_US, clock.now()).decision is FreshnessDecision.ACCEPT
    with pytest.raises(CaptureTimeInFutureError):
        freshness_gate.explain(TILE, NOW)


def test_the_verdict_grows_older_with_the_clock() -> None:
    freshness_gate, _, clock = gate(sector(CONFLICT))
    assert freshness_gate.verdict_on(TILE, NOW_US, clock.now()).decision is FreshnessDecision.ACCEPT
    clock.advance(timedelta(days=181))
    assert freshness_gate.verdict_on(TILE, NOW_US, clock.now()).decision is FreshnessDecision.REJECT


def test_a_sector_without_a_rule_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"sector s is active_conflict"):
        FreshnessGate(
            [FreshnessGrounds((sector(CONFLICT),), (RULES[REAR],), REAR)],
            MemorySectorIndex,
            clock=ManualClock(NOW),
            recorder=MemoryFlightRecorder(),
        )


def test_a_default_without_a_rule_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="default classification stable_rear"):
        FreshnessGate(
            [FreshnessGrounds((), (RULES[CONFLICT],), REAR)],
            MemorySectorIndex,
            clock=ManualClock(NOW),
            recorder=MemoryFlightRecorder(),
        )
