"""Sectors and freshness rules: what their constructors accept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aerotile.domain.values.sectors import SEEDED_RULES, FreshnessRule, SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import MultiPolygon, Polygon
from aerotile.domain.values.tile_grid import Bbox

BOX = Bbox(50.0, 30.0, 51.0, 31.0)


def test_the_classifications_run_from_the_strictest_to_the_most_lenient() -> None:
    assert [c.value for c in SectorClassification] == ["active_conflict", "stable_rear"]


def test_the_seeded_rules_allow_180_days_in_conflict_and_365_in_the_rear() -> None:
    assert {(rule.classification.value, rule.max_age.days) for rule in SEEDED_RULES} == {
        ("active_conflict", 180),
        ("stable_rear", 365),
    }


@pytest.mark.parametrize("sector_id", ["", "  ", None, 7])
def test_a_sector_without_a_name_is_refused_by_value(sector_id: object) -> None:
    with pytest.raises(ValueError, match=r"^sector_id ") as refusal:
        SectorBoundary(sector_id, SectorClassification.STABLE_REAR, BOX)  # type: ignore[arg-type] # wrong types are part of what is tested
    assert repr(sector_id) in str(refusal.value)


def test_a_sector_has_a_name_of_two_hundred_characters_at_most() -> None:
    SectorBoundary("n" * 200, SectorClassification.STABLE_REAR, BOX)
    with pytest.raises(ValueError, match="sector_id is longer than 200 characters"):
        SectorBoundary("n" * 201, SectorClassification.STABLE_REAR, BOX)


def test_a_classification_that_is_only_a_text_is_refused_by_value() -> None:
    with pytest.raises(ValueError, match=r"^classification .*, got 'stable_rear'$"):
        SectorBoundary("north", "stable_rear", BOX)  # type: ignore[arg-type] # the wrong type is what is tested


def test_a_box_that_is_only_a_tuple_is_refused_by_value() -> None:
    with pytest.raises(ValueError, match=r"^shape .*\(50.0, 30.0, 51.0, 31.0\)"):
        SectorBoundary("north", SectorClassification.STABLE_REAR, (50.0, 30.0, 51.0, 31.0))  # type: ignore[arg-type] # the wrong type is what is tested


def test_the_box_of_a_sector_is_that_of_its_shape() -> None:
    triangle = Polygon([[(30, 50), (31, 50), (30.5, 51)]])
    far = Polygon([[(-31, 40), (-30, 40), (-30, 41)]])
    of_shape = {
        shape: SectorBoundary("north", SectorClassification.STABLE_REAR, shape).bbox
        for shape in (BOX, triangle, MultiPolygon([triangle, far]))
    }
    assert list(of_shape.values()) == [BOX, BOX, Bbox(40.0, -31.0, 51.0, 31.0)]


@pytest.mark.parametrize("max_age", [timedelta(0), timedelta(days=-1), 180, None])
def test_a_rule_without_a_positive_age_is_refused_by_value(max_age: object) -> None:
    with pytest.raises(ValueError, match=r"^max_age ") as refusal:
        FreshnessRule(SectorClassification.STABLE_REAR, max_age)  # type: ignore[arg-type] # wrong types are part of what is tested
    assert repr(max_age) in str(refusal.value)
