"""`aerotile sectors load`."""

from __future__ import annotations

from pathlib import Path

import click

from ....domain.values.counted import counted
from ....domain.values.sectors import SectorClassification
from ....domain.values.shapes import parts_of
from ....domain.values.tile_grid import Bbox
from ....domain.values.visible_text import visible
from ...input_files.sector_files import read_sectors
from ..arguments import EXISTING_FILE
from ..command import command
from ..coverage import boxes_around, degrees_of_box
from ..output import json_option, write_json, write_line
from ..session import Session


@command(
    "aerotile sectors load sectors.geojson",
    more="""\
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
    """Put the sectors of GeoJSON, KML or KMZ files in place of all that are loaded, in one transaction.

    A sector has the shape of its polygons, holes left out; a box is the simplest. Its name is the property
    sector_id, or the feature's own id; in KML the ExtendedData has sector_id and classification, and the name
    of the placemark counts where there is no sector_id. A feature without geometry (null) is left out and
    named. When another feature is refused, nothing changes. The boxes around the sectors of each
    classification are printed, so that sectors in a wrong place are seen. A running program judges by the new
    sectors from its next start.
    """
    found = read_sectors(*files)
    with session.runtime() as runtime:
        runtime.sector_store.replace_sectors(found.sectors)
    around = {
        kind.value: boxes_around(
            part if isinstance(part, Bbox) else part.bbox
            for sector in found.sectors
            if sector.classification is kind
            for part in parts_of(sector.shape)
        )
        for kind in SectorClassification
    }
    if as_json:
        ground = {
            name: [[box.min_lon, box.min_lat, box.max_lon, box.max_lat] for box in boxes]
            for name, boxes in around.items()
        }
        without = list(found.without_geometry)
        write_json({"loaded": len(found.sectors), "without_geometry": without, "ground": ground})
        return
    for name in found.without_geometry:
        write_line(f"{visible(name)} has no geometry and was left out")
    write_line(f"{counted(len(found.sectors), 'sector')} loaded")
    for name, boxes in around.items():
        if boxes:
            write_line(f"  {name} lies within {' and '.join(map(degrees_of_box, boxes))}")
