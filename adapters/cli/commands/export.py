"""`aerotile export`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....domain.errors import ImagerySourceError
from ....domain.values.counted import counted
from ....domain.values.visible_text import visible
from ...files.atomic_file import atomic_file, refused_writes_named
from ..command import command
from ..coverage import coverage_facts, write_coverage
from ..errors import BadInputError, as_bad_input
from ..lost_tiles import lost_tiles_refused
from ..new_files import check_new_file
from ..output import in_words, json_option, write_json, write_line
from ..progress import progress_bar
from ..session import Session
from ..tile_choice import TileChoice, add_tile_choice, choose_some

if TYPE_CHECKING:
    from ....domain.choose_tiles import ChosenTiles


@command(
    "aerotile export for-a-colleague.mbtiles --area 11.4,48.0,11.8,48.3 --zoom 14-17",
    "aerotile export tiles.pmtiles --source imported --dates dates.csv",
)
@click.argument("file", type=click.Path(path_type=Path))
@add_tile_choice
@click.option(
    "--dates",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    help="Write the capture date of each tile there (z,x,y,captured_at); archives have no place for it.",
)
@json_option
@click.pass_obj
def export(
    session: Session,
    file: Path,
    choice: TileChoice,
    dates: Path | None,
    as_json: bool,
) -> None:
    """Copy tiles of the store into FILE for other programs, byte for byte.

    FILE.mbtiles, FILE.pmtiles and FILE.gpkg are archives, a name without an ending is a folder. Each tile is
    hashed; one that differs from what was committed ends the export. FILE is whole or not there, and nothing
    is replaced.
    """
    from ....domain.export_tiles import export_tiles
    from ...composition.imagery_parts import create_tile_archive

    plan, outside_area = choice.read()
    for path in (file, *([] if dates is None else [dates])):
        check_new_file(path, session.config)
    if dates is not None and file.resolve() == dates.resolve():
        raise BadInputError(f"FILE and --dates both name {file}", remedy="name another file for the dates")
    with session.existing_runtime() as runtime:
        chosen = choose_some(*runtime.rows.catalogue(), plan, nothing="the store holds no tile to export")
        # Both files get their names, or none: the dates are on the disk before the first tile.
        with (
            as_bad_input(ImagerySourceError),
            _dates_file(dates, chosen),
            refused_writes_named(file),
            lost_tiles_refused(),
            progress_bar("tiles", len(chosen)) as advance,
        ):
            export_tiles(
                chosen,
                runtime.tile_store.read_tile_bytes,
                create_tile_archive(file, most_tiles=len(chosen)),
                name=visible(file.stem),  # a name that is no text has no place in an archive
                tile_size_pixels=session.config.tiles.tile_size_pixels,
                progress=advance,
            )
    coverage = coverage_facts(chosen.coverage())
    if as_json:
        write_json(
            {
                "file": str(file),
                "tiles": len(chosen),
                "bytes": chosen.disk_bytes,
                "left_out": dict(sorted(chosen.left_out.items())),
                "left_out_of_area": dict(outside_area),
                "dates": None if dates is None else str(dates),
                "coverage": coverage,
            }
        )
        return
    write_line(f"{counted(len(chosen), 'tile')} in {file}, {in_words(chosen.disk_bytes)}")
    for reason, count in sorted(chosen.left_out.items()):
        write_line(f"left out: {count} {reason}")
    write_coverage(coverage)


@contextmanager
def _dates_file(path: Path | None, chosen: ChosenTiles) -> Iterator[None]:
    """Write the dates, whose file gets its name when the body ends without an error."""
    if path is None:
        yield
        return
    with atomic_file(path, 0o644, is_new=True) as file:
        file.write(b"z,x,y,captured_at\n")
        for position, tile_id in enumerate(chosen):
            moment = chosen.captured_at(position).isoformat()
            file.write(f"{tile_id.zoom_level},{tile_id.x},{tile_id.y},{moment}\n".encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
        yield
