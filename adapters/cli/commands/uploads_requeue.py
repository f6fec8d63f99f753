"""`aerotile uploads requeue`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ....domain.errors import TileCacheError
from ....domain.values.counted import counted
from ....domain.values.tiles import parse_tile_id
from ..command import command
from ..errors import BadInputError
from ..output import json_option, write_json, write_line
from ..session import Session

if TYPE_CHECKING:
    from ....domain.uploads.requeue import RequeuedTile


@command(
    "aerotile uploads requeue onboard/7d444840-9dc0-11d1-b245-5ffdce74fad2/18/152345/90123",
    "aerotile uploads requeue --all",
)
@click.argument("tiles", nargs=-1, metavar="[TILE]...")
@click.option("--all", "every", is_flag=True, help="Every tile that is given up.")
@json_option
@click.pass_obj
def requeue(session: Session, tiles: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Give given-up tiles another life: pending again, with no rejection counted.

    The flight record notes each of them. Each tile is a step of its own: tiles that were requeued before
    another one is refused stay requeued.
    """
    if bool(tiles) == every:
        raise click.UsageError("name the tiles, or give --all")
    try:
        chosen = list(dict.fromkeys(map(parse_tile_id, tiles)))
    except ValueError as error:
        raise BadInputError(str(error), remedy="aerotile uploads lists the tiles' ids") from error
    requeued: list[RequeuedTile] = []
    ended: TileCacheError | None = None
    with session.existing_runtime() as runtime:
        try:
            for some in [None] if every else [[tile_id] for tile_id in chosen]:
                requeued += runtime.requeue_uploads(some)
        except TileCacheError as error:
            ended = error
    if ended is not None and not requeued:
        raise ended
    if as_json:
        write_json([{"tile": str(tile.tile_id), "generation": tile.generation} for tile in requeued])
    else:
        for tile in requeued:
            write_line(f"{tile.tile_id} is pending again; this is its life number {tile.generation}")
        write_line(f"{counted(len(requeued), 'tile')} requeued")
    if ended is not None:
        raise ended
