"""`aerotile sectors load`."""

from __future__ import annotations

from pathlib import Path

import click

from ...input_files.geojson import read_sectors
from ..arguments import EXISTING_FILE
from ..command import AerotileCommand
from ..errors import visible
from ..output import json_option, write_json, write_line
from ..session import Session


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
    """Put the sectors of GeoJSON files in place of all that are loaded, in one transaction.

    A sector is a box: a polygon of another shape becomes its bounding box, and is named. When any feature is
    refused, nothing changes. A program that is running judges tiles by the new sectors from its next start.
    """
    found = read_sectors(*files)
    with session.runtime() as runtime:
        runtime.sector_store.replace_sectors(found.sectors)
    if as_json:
        write_json({"loaded": len(found.sectors), "widened": list(found.widened)})
        return
    for name in found.widened:
        write_line(f"sector {visible(name)} is no box: its bounding box was loaded, which covers more")
    write_line(f"{len(found.sectors)} sectors loaded")
