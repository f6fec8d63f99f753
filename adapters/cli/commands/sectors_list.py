"""`aerotile sectors list`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..command import command
from ..output import json_option, write_json, write_line, write_table
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.sectors import FreshnessRule, SectorBoundary


@command("aerotile sectors list --json")
@json_option
@click.pass_obj
def list_(session: Session, as_json: bool) -> None:
    """List the sectors with the boxes around them in degrees, and the freshness rules."""
    with session.existing_runtime() as runtime:
        loaded, rules = runtime.sector_store.sectors(), runtime.sector_store.rules()
    if as_json:
        write_json(
            {
                "default_classification": session.config.freshness.default_classification.value,
                "sectors": [_sector_facts(sector) for sector in loaded],
                "rules": _rule_facts(rules),
            }
        )
        return
    write_table(
        ["sector", "classification", "min lon", "min lat", "max lon", "max lat"],
        [list(_sector_facts(sector).values()) for sector in loaded],
    )
    for rule in _rule_facts(rules):
        write_line(f"{rule['classification']}: {rule['max_age_seconds'] / 86_400:g} days")


def _sector_facts(sector: SectorBoundary) -> dict[str, Any]:
    box = sector.bbox
    return {
        "sector_id": sector.sector_id,
        "classification": sector.classification.value,
        "min_lon": box.min_lon,
        "min_lat": box.min_lat,
        "max_lon": box.max_lon,
        "max_lat": box.max_lat,
    }


def _rule_facts(rules: Sequence[FreshnessRule]) -> list[dict[str, Any]]:
    return [
        {"classification": rule.classification.value, "max_age_seconds": rule.max_age.total_seconds()}
        for rule in rules
    ]
