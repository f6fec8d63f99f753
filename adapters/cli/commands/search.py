"""`aerotile search`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..areas import AreaOptions, add_area_options
from ..arguments import EXISTING_FILE, WholeRange, near, zoom
from ..command import command
from ..errors import BadInputError
from ..output import json_option, write_json, write_table
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
@add_area_options
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
    area_options: AreaOptions,
    zooms: tuple[int, ...],
    as_json: bool,
) -> None:
    """Find the tiles nearest to the descriptor in FILE (.npy), nearest first.

    No database is asked, unless a recall list is in force that names digests or capture times.

    Without --near and --area the graph of the index answers, which may miss a tile now and then; with one of
    them the answer is exact. Areas are read from GeoJSON, KML, KMZ, GPX, plans of QGroundControl and waypoint
    files.
    """
    if prior is not None and area_options.areas:
        raise click.UsageError("--near and --area exclude each other")
    if zooms and prior is None and not area_options.areas:
        raise click.UsageError("--zoom needs --near or --area")
    area, left_out = area_options.read()
    prior = area or prior
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
    _write(facts, is_within=prior is not None)


def _write(facts: list[dict[str, Any]], *, is_within: bool) -> None:
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
