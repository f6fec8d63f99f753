"""`aerotile base seal`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ....domain.values.tiles import TileSource
from ..arguments import NUMBER, box, variant, zoom
from ..command import command
from ..errors import BadInputError
from ..lost_tiles import lost_tiles_refused
from ..output import json_option
from ..progress import progress_bar
from ..session import Session
from .base import print_opened

if TYPE_CHECKING:
    from ....domain.values.tile_grid import Bbox


@command(
    "aerotile base seal --bbox 11.4,48.0,11.8,48.3 --zoom 15 --zoom 16",
    "aerotile base seal --prefer imported --prefer satellite_provider",
)
@click.option(
    "--bbox",
    "boxes",
    type=box,
    multiple=True,
    metavar="BOX",
    help="Only tiles that touch MIN_LON,MIN_LAT,MAX_LON,MAX_LAT, in degrees; may be given again.",
)
@click.option("--zoom", "zooms", type=zoom, multiple=True, help="Only this zoom; may be given again.")
@click.option(
    "--prefer",
    type=variant,
    multiple=True,
    metavar="SOURCE",
    help="Where several sources, or onboard/FLIGHT, have a place: this one; may be given again, best first.",
)
@click.option("--onboard", is_flag=True, help="Also take tiles made on board that the provider trusts.")
@click.option(
    "--without-dataset",
    "without",
    multiple=True,
    metavar="NAME",
    help="Leave the tiles of this dataset out; may be given again.",
)
@click.option("--number", type=NUMBER, help="The generation's number; default the next one.")
@click.option(
    "--index/--no-index",
    "with_index",
    default=None,
    help="Take the descriptor index of these tiles along; default where `aerotile index` has one.",
)
@json_option
@click.pass_obj
def seal(
    session: Session,
    boxes: tuple[Bbox, ...],
    zooms: tuple[int, ...],
    prefer: tuple[str, ...],
    onboard: bool,
    without: tuple[str, ...],
    number: int | None,
    with_index: bool | None,
    as_json: bool,
) -> None:
    """Write a new generation of the base from tiles, sectors, rules and descriptor index of the store.

    The bytes of each tile are hashed and copied as they are. The generation in use stays in use: sign the new
    one, then switch to it. The same tiles, options, index and number give the same bytes. An interrupted seal
    leaves nothing that is in the way of the next one. Descriptors of tiles that are not taken are counted.
    Tiles of a dataset that may not be stored offline, or is not defined, refuse the seal by name, and so does
    an index that describes other bytes than the base would hold of a tile.
    """
    from ...sealed_base.seal_plan import SealPlan

    unheard = [name for name in prefer if name.partition("/")[0] == TileSource.ONBOARD.value]
    if unheard and not onboard:
        raise BadInputError(
            f"--prefer {unheard[0]} has no effect: no tile that was made on board is taken",
            remedy="give --onboard, or leave it out",
        )
    plan = SealPlan(
        boxes=boxes,
        zooms=tuple(sorted(set(zooms))),
        prefer=prefer,
        take_onboard=onboard,
        without=without,
    )
    with session.existing_runtime() as runtime:
        with progress_bar("tiles, then descriptors") as advance, lost_tiles_refused():
            manifest = runtime.seal_base(plan, number=number, with_index=with_index, progress=advance)
        if manifest.index is not None and runtime.descriptor_index.metadata().contents_sha256 is None:
            click.echo(
                "warning: the index does not say from which bytes its descriptors were made: that they are "
                "of the tiles of this base could not be compared",
                err=True,
            )
        opened = runtime.base_generations.manifest(manifest.name, runtime.base_trust)
        print_opened(runtime, opened, as_json=as_json)
