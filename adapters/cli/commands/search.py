"""`aerotile search`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import EXISTING_FILE
from ..command import AerotileCommand
from ..errors import BadInputError
from ..output import json_option, write_json, write_table
from ..session import Session


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile search frame.npy -k 5
The file is written by
  numpy.save("frame.npy", descriptor)
""",
)
@click.argument("file", type=EXISTING_FILE)
@click.option(
    "-k", "count", type=click.IntRange(1, 10_000), default=5, show_default=True, help="How many tiles."
)
@json_option
@click.pass_obj
def search(session: Session, file: Path, count: int, as_json: bool) -> None:
    """Find the tiles nearest to the descriptor in FILE (.npy), nearest first, without the database."""
    from ...input_files.descriptor_files import read_query

    query = read_query(file)
    with session.existing_runtime("index") as runtime:
        opened = runtime.descriptor_index
        metadata = opened.metadata()
        try:
            hits = opened.search(query, count)
        except ValueError as error:
            raise BadInputError(
                f"{file}: {error}", remedy=f"describe the frame with {metadata.descriptor_model}"
            ) from error
    facts = [
        {
            "rank": rank,
            "tile": str(hit.tile_id),
            "distance": hit.distance,
            "centre_lat": hit.tile_id.centre[0],
            "centre_lon": hit.tile_id.centre[1],
        }
        for rank, hit in enumerate(hits, 1)
    ]
    if as_json:
        write_json(
            {"metric": metadata.metric.value, "descriptor_model": metadata.descriptor_model, "hits": facts}
        )
        return
    write_table(
        ["rank", "tile", "distance", "lat", "lon"],
        [
            [f["rank"], f["tile"], f"{f['distance']:.6g}", f"{f['centre_lat']:.5f}", f"{f['centre_lon']:.5f}"]
            for f in facts
        ],
    )
