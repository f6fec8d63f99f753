"""`aerotile sectors load|list`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..arguments import EXISTING_FILE
from ..command import AerotileCommand, LazyGroup
from ..errors import visible
from ..output import json_option, write_json, write_line, write_table
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.sectors import FreshnessRule, SectorBoundary

COMMANDS = {
    "load": ("sectors", "Put the sectors of GeoJSON files in place of all others."),
    "list": ("sectors", "List the sectors and the freshness rules."),
}


@click.command(cls=LazyGroup, commands_table=COMMANDS, package=__package__)
def sectors() -> None:
    """Load and list the sectors that tiles are judged by."""


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile sectors load sectors.geojson
A sector in the file:
  {"type": "Feature",
   "properties": {"sector_id": "north", "classification": "active_conflict"},
   "geometry": {"type": "Polygon",
                "coordinates": [[[10, 50], [12, 50], [12, 51], [10, 51], [10, 50]]]}}
""",
)
@click.argument("files", type=EXISTING_FILE, nargs=-1, required=True, metavar="FILE...")
@json_option
@click.pass_obj
def load(session: Session, files: tuple[Path, ...], as_json: bool) -> None:
    """Put the sectors of GeoJSON files in place of all that are loaded, at once.

    A sector is a box: a polygon of another shape becomes its bounding box, and is named. Nothing changes
    when any feature is refused. Tiles that are in the store are judged by the new sectors from the next
    start of whatever uses them.
    """
    from ...input_files.geojson import read_sectors

    found = read_sectors(*files)
    with session.runtime() as runtime:
        runtime.sector_store.replace_sectors(found.sectors)
    if as_json:
        write_json({"loaded": len(found.sectors), "widened": list(found.widened)})
        return
    for name in found.widened:
        write_line(f"sector {visible(name)} is no box: its bounding box was loaded, which covers more")
    write_line(f"{len(found.sectors)} sectors loaded")


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile sectors list --json
""",
)
@json_option
@click.pass_obj
def list_(session: Session, as_json: bool) -> None:
    """List the sectors with their boxes in degrees, and the freshness rules."""
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
