"""`aerotile pin`."""

from __future__ import annotations

import click

from ....domain.values.counted import counted
from ..arguments import tile_ids
from ..command import command
from ..output import json_option, write_json, write_line
from ..session import Session


@command(
    "aerotile pin imported/16/34567/22789",
    "aerotile pin --list",
    "aerotile pin --lift imported/16/34567/22789",
)
@click.argument("tiles", nargs=-1, metavar="[TILE]...")
@click.option("--lift", is_flag=True, help="Lift the pins of the tiles: they may be evicted again.")
@click.option("--list", "listing", is_flag=True, help="List the pinned tiles.")
@json_option
@click.pass_obj
def pin(session: Session, tiles: tuple[str, ...], lift: bool, listing: bool, as_json: bool) -> None:
    """Pin tiles: the disk budget never evicts them. A pin holds until it is lifted.

    A TILE is written as in the other commands: source/zoom/x/y, or onboard/flight/zoom/x/y. When any of the
    tiles has no row, no pin is changed.
    """
    if bool(tiles) == listing or (lift and listing):
        raise click.UsageError("name the tiles, or give --list alone")
    named = tile_ids(tiles)
    with session.existing_runtime() as runtime:
        if listing:
            found = runtime.metadata_store.pinned_tiles()
        else:
            found = runtime.pin_tiles(named, pinned=not lift)
    done = "lifted" if lift else "pinned"
    changed = set(found)
    unchanged = [tile_id for tile_id in named if tile_id not in changed]
    if as_json:
        facts = {done: [str(tile_id) for tile_id in found]}
        write_json(facts if listing else {**facts, "unchanged": [str(tile_id) for tile_id in unchanged]})
        return
    for tile_id in found if listing else ():
        write_line(str(tile_id))
    for tile_id in unchanged:
        write_line(f"{tile_id} was {'not pinned' if lift else 'pinned already'}")
    write_line(f"{counted(len(found), 'pin')} lifted" if lift else f"{counted(len(found), 'tile')} pinned")
