"""`aerotile search`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..arguments import EXISTING_FILE, WholeRange, corridor, near, zoom
from ..command import command
from ..errors import BadInputError
from ..output import json_option, write_json, write_line, write_table
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.areas import Area
    from ....domain.values.descriptors import SearchHit


@command(
    "aerotile search frame.npy -k 5",
    "aerotile search frame.npy --near 48.1,11.6,5km --zoom 16",
    "aerotile search frame.npy --area route.gpx --corridor 5km",
    more="""\
The file is written by
  numpy.save("frame.npy", descriptor)
""",
)
@click.argument("file", type=EXISTING_FILE)
@click.option("-k", "count", type=WholeRange(1, 10_000), default=5, show_default=True, help="How many tiles.")
@click.option(
    "--near",
    "prior",
    metavar="LAT,LON,RADIUS",
    type=near,
    help="Look at the tiles within RADIUS (5km, 800m) of a place alone, and miss none of them.",
)
@click.option(
    "--area",
    "areas",
    metavar="FILE|BOX",
    multiple=True,
    help="Look at the tiles of this ground alone, as --near: a file with lines or polygons, or "
    "MIN_LON,MIN_LAT,MAX_LON,MAX_LAT; may be given again.",
)
@click.option(
    "--corridor",
    "corridor_m",
    metavar="DISTANCE",
    type=corridor,
    help="With --area: how far the ground reaches to each side of a line: 5km, 3nm, 500m.",
)
@click.option(
    "--zoom", "zooms", type=zoom, multiple=True, help="With --near or --area: this zoom alone; repeatable."
)
@json_option
@click.pass_obj
def search(
    session: Session,
    file: Path,
    count: int,
    prior: Area | None,
    areas: tuple[str, ...],
    corridor_m: float | None,
    zooms: tuple[int, ...],
    as_json: bool,
) -> None:
    """Find the tiles nearest to the descriptor in FILE (.npy), nearest first.

    No database is asked, unless a recall list is in force that names digests or capture times.

    Without --near and --area the graph of the index answers, which may miss a tile now and then; with one of
    them the answer is exact. Areas are read from GeoJSON, KML, KMZ, GPX, plans of QGroundControl and waypoint
    files.
    """
    if prior is not None and areas:
        raise click.UsageError("--near and --area exclude each other")
    if corridor_m is not None and not areas:
        raise click.UsageError("--corridor needs --area")
    if zooms and prior is None and not areas:
        raise click.UsageError("--zoom needs --near or --area")
    left_out: Mapping[str, int] = {}
    if areas:
        prior, left_out = _named_area(areas, corridor_m)
    from ...input_files.descriptor_files import read_query

    query = read_query(file)
    with session.existing_runtime("index", "base") as runtime:
        runtime.look_up_recalled()
        opened = runtime.index_in_use
        metadata = opened.metadata()
        try:
            if prior is None:
                hits = opened.search(query, count)
            else:
                hits = opened.search_within(query, count, attrs.evolve(prior, zooms=zooms or None))
        except ValueError as error:
            raise BadInputError(
                f"{file}: {error}", remedy=f"describe the frame with {metadata.descriptor_model}"
            ) from error
    facts = _facts(hits)
    if as_json:
        write_json(
            {
                "metric": metadata.metric.value,
                "descriptor_model": metadata.descriptor_model,
                "left_out": dict(left_out),
                "hits": facts,
            }
        )
        return
    _write(facts, left_out, is_within=prior is not None)


def _write(facts: list[dict[str, Any]], left_out: Mapping[str, int], *, is_within: bool) -> None:
    for kind, number in left_out.items():
        write_line(f"left out: {number} x {kind}")
    if not facts and is_within:
        click.echo(
            "warning: no described tile lies in that area at those zooms, but for recalled ones", err=True
        )
    write_table(
        ["rank", "tile", "distance", "lat", "lon"],
        [
            [f["rank"], f["tile"], f"{f['distance']:.6g}", f"{f['centre_lat']:.5f}", f"{f['centre_lon']:.5f}"]
            for f in facts
        ],
    )


def _facts(hits: Sequence[SearchHit]) -> list[dict[str, Any]]:
    return [
        {
            "rank": rank,
            "tile": str(hit.tile_id),
            "distance": hit.distance,
            "centre_lat": hit.tile_id.centre[0],
            "centre_lon": hit.tile_id.centre[1],
        }
        for rank, hit in enumerate(hits, 1)
    ]


def _named_area(sources: tuple[str, ...], corridor_m: float | None) -> tuple[Area, Mapping[str, int]]:
    """The ground, and what of its files is none. Raises `InputFileError`, `BadInputError`, `OSError`."""
    from ...input_files.area_files import read_area

    try:
        found = read_area(sources, corridor_m=corridor_m)
    except (ValueError, FileNotFoundError) as error:
        reason = f"no file {error.filename}" if isinstance(error, FileNotFoundError) else error
        raise BadInputError(
            f"--area: {reason}", remedy="name a file, or MIN_LON,MIN_LAT,MAX_LON,MAX_LAT"
        ) from error
    return found.area, found.left_out
