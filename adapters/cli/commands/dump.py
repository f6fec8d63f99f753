"""`aerotile dump`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from ..arguments import box, zoom
from ..command import AerotileCommand
from ..output import write_json_line, write_line
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.tile_grid import Bbox
    from ....domain.values.tiles import TileMetadataPersistent
    from ...composition import Runtime


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile dump --zoom 16
  aerotile dump --bbox 11.4,48.0,11.8,48.3 --csv > tiles.csv
""",
)
@click.option(
    "--bbox",
    type=box,
    metavar="BOX",
    help="Only tiles that touch MIN_LON,MIN_LAT,MAX_LON,MAX_LAT, in degrees.",
)
@click.option("--zoom", "zooms", type=zoom, multiple=True, help="Only this zoom; may be given again.")
@click.option("--json", "layout", flag_value="json", default="json", help="JSON lines; the default.")
@click.option("--csv", "layout", flag_value="csv", help="CSV with a header.")
@click.pass_obj
def dump(session: Session, bbox: Bbox | None, zooms: tuple[int, ...], layout: str) -> None:
    """Print the stored tiles' metadata, one tile per line."""
    from ..tile_facts import COLUMNS, tile_facts

    with session.existing_runtime() as runtime:
        if layout == "csv":
            write_line(_csv_line(COLUMNS))
        for row in _rows(runtime, bbox, zooms):
            facts = tile_facts(row)
            if layout == "csv":
                write_line(_csv_line(facts.values()))
            else:
                write_json_line(facts)


def _rows(runtime: Runtime, bbox: Bbox | None, zooms: tuple[int, ...]) -> Iterator[TileMetadataPersistent]:
    from ....domain.values.tile_grid import MAX_ZOOM

    if bbox is None:
        yield from (row for row in runtime.rows.committed() if not zooms or row.tile_id.zoom_level in zooms)
        return
    for zoom_level in sorted(set(zooms)) or range(MAX_ZOOM + 1):
        yield from runtime.metadata_store.query_by_bbox(bbox, zoom_level)


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
