"""A freshness verdict as JSON-ready facts, the same for the command line and for the map page."""

from __future__ import annotations

from typing import Any

from ..domain.policies.freshness import FreshnessVerdict


def verdict_facts(verdict: FreshnessVerdict) -> dict[str, Any]:
    """Decision, sector, rule, age and the fault of the clock."""
    return {
        "decision": verdict.decision.name.lower(),
        "sector": None if verdict.sector is None else verdict.sector.sector_id,
        "classification": verdict.rule.classification.value,
        "max_age_seconds": verdict.rule.max_age.total_seconds(),
        "age_seconds": verdict.age.total_seconds(),
        "recalled": verdict.recalled,
        "clock_fault": None if verdict.clock_fault is None else str(verdict.clock_fault),
    }
