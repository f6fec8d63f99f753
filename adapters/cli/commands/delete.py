"""`aerotile delete`."""

from __future__ import annotations

import click

from ....domain.values.counted import counted
from ..arguments import tile_ids
from ..command import command
from ..output import in_words, json_option, write_json, write_line
from ..session import Session


@command("aerotile delete imported/16/34567/22789")
@click.argument("tiles", nargs=-1, required=True, metavar="TILE...")
@json_option
@click.pass_obj
def delete(session: Session, tiles: tuple[str, ...], as_json: bool) -> None:
    """Remove tiles from the store: their rows, files and sidecars.

    A TILE is written as in the other commands: source/zoom/x/y, or onboard/flight/zoom/x/y. When any of the
    tiles has no row, no tile is removed. A tile whose file is gone already is removed by its row.
    """
    named = tile_ids(tiles)
    with session.existing_runtime() as runtime:
        freed = runtime.delete_tiles(named)
    if as_json:
        write_json({"deleted": [str(tile_id) for tile_id in named], "freed_bytes": freed})
    else:
        write_line(f"deleted {counted(len(named), 'tile')}, {in_words(freed)} freed")
