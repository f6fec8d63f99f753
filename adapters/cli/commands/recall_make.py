"""`aerotile recall make`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from ..arguments import EXISTING_FILE, NUMBER, box, capture_range, near, zoom
from ..command import command
from ..errors import BadInputError, as_bad_input
from ..new_files import check_new_file
from ..option_groups import gather
from ..output import json_option
from ..session import Session
from .recall import list_facts, print_list

if TYPE_CHECKING:
    from ....domain.values.areas import Area
    from ....domain.values.recall_list import CaptureRange
    from ....domain.values.shapes import Shape
    from ....domain.values.tile_grid import Bbox

_MOST_BYTES = 128 << 20
"""Of a file of digests: each of the 700,000 for which a list has room, with the name of its file."""


@attrs.frozen
class _RecalledOptions:
    """The tiles that a person names."""

    digests: tuple[str, ...]
    digests_from: Path | None
    datasets: tuple[str, ...]
    captured: tuple[CaptureRange, ...]
    boxes: tuple[Bbox, ...]
    circles: tuple[Area, ...]
    shapes: tuple[Path, ...]
    zooms: tuple[int, ...]

    def areas(self) -> tuple[Area, ...]:
        """Each shape as an entry of its own, so that a refusal names it."""
        from ....domain.values.areas import Area, boxes_around
        from ....domain.values.tile_grid import MAX_LATITUDE

        circles = [shape for circle in self.circles for shape in circle.shapes]
        shapes = [*self.boxes, *circles, *_shapes_of(self.shapes)]
        if self.zooms and not shapes:
            raise BadInputError(
                "--zoom names no tile by itself", remedy="give --bbox, --near or --shapes with it"
            )
        for shape in shapes:
            if not any(Area([shape]).spans(0)):
                around = boxes_around(Area([shape]))[0]
                raise BadInputError(
                    f"no tile lies between the latitudes {around.min_lat} and {around.max_lat}",
                    remedy=f"name ground within {MAX_LATITUDE:.4f} degrees of the equator",
                )
        return tuple(Area([shape], sorted(set(self.zooms)) or None) for shape in shapes)


@command(
    'aerotile recall make withdrawn-7.json --number 7 --reason "wrong ground at the river" \\',
    "    --bbox 11.4,48.0,11.8,48.3",
    'aerotile recall make withdrawn-9.json --number 9 --reason "licence ended" --dataset ortho-2024',
    'aerotile recall make withdrawn-8.json --number 8 --reason "forged" --digests-from forged.txt',
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--number", required=True, type=NUMBER, help="Above those of all lists before.")
@click.option("--reason", required=True, help="One line for the persons who meet the refusal.")
@click.option("--digest", "digests", multiple=True, metavar="SHA256", help="Tiles with these bytes.")
@click.option(
    "--digests-from",
    type=EXISTING_FILE,
    metavar="FILE",
    help="Tiles with the SHA-256 at the begin of each line, as sha256sum writes them.",
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME",
    help="The tiles of this dataset that are in the base in use or in the store, by their SHA-256.",
)
@click.option(
    "--captured",
    type=capture_range,
    multiple=True,
    metavar="FIRST,LAST",
    help="Tiles captured from FIRST to LAST, dates or times with an offset, both included.",
)
@click.option(
    "--bbox",
    "boxes",
    type=box,
    multiple=True,
    metavar="BOX",
    help="Tiles that touch MIN_LON,MIN_LAT,MAX_LON,MAX_LAT, in degrees.",
)
@click.option(
    "--near", "circles", type=near, multiple=True, metavar="LAT,LON,RADIUS", help="Tiles that touch a circle."
)
@click.option(
    "--shapes",
    type=EXISTING_FILE,
    multiple=True,
    metavar="GEOJSON",
    help="Tiles that touch a Polygon or MultiPolygon of this file.",
)
@click.option(
    "--zoom", "zooms", type=zoom, multiple=True, help="Of boxes, circles and shapes only tiles of this zoom."
)
@json_option
@click.pass_obj
@gather("named", _RecalledOptions)
def make(
    session: Session,
    file: Path,
    number: int,
    reason: str,
    named: _RecalledOptions,
    as_json: bool,
) -> None:
    """Write the recall list NUMBER to FILE, which is new, without a signature.

    Each option but --zoom may be given again. A tile is recalled when any of them names it. A list replaces
    the one before as a whole: name again what stays recalled. A list without any entry lifts every recall.
    Of a dataset the list names the tiles that are here, each by its bytes: a tile of it that is brought in
    later is not on the list.
    """
    from ....domain.errors import RecallListError
    from ....domain.values.recall_list import RecallList
    from ...recall_lists.lists import RECALL_LIST_FILES, look_into_list, write_list
    from ...signatures import Trust

    check_new_file(file, session.config)
    try:
        areas = named.areas()
        recalls = RecallList(
            number=number,
            reason=reason,
            digests=(*named.digests, *_digests_of(named.digests_from), *_digests_in(session, named.datasets)),
            captured=named.captured,
            areas=areas,
        )
    except ValueError as error:
        raise BadInputError(str(error), remedy="correct it; no file was written") from error
    with as_bad_input(RecallListError):
        write_list(file, recalls)
    written, _ = look_into_list(RECALL_LIST_FILES.read(file), Trust((), 1), str(file))
    print_list(list_facts(written, threshold=1, trusted=False), as_json=as_json)


def _shapes_of(paths: tuple[Path, ...]) -> list[Shape]:
    from ...input_files.errors import InputFileError
    from ...input_files.sector_files import read_shapes

    try:
        return [shape for path in paths for shape in read_shapes(path)]
    except InputFileError as error:
        raise BadInputError(str(error), remedy="correct the file; no list was written") from error


def _digests_of(path: Path | None) -> list[str]:
    if path is None:
        return []
    from ...files.regular_file import read_regular

    try:
        lines = read_regular(path, _MOST_BYTES, follow=True).decode().splitlines()
    except OSError as error:
        raise BadInputError(
            f"{path} can't be read: {error.strerror}", remedy="write one SHA-256 a line"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is no text", remedy="write one SHA-256 a line") from error
    digests = [line.split()[0] for line in lines if line.strip()]
    if not digests:
        raise BadInputError(
            f"{path} names no digest",
            remedy="a list without any entry, which lifts every recall, needs no file",
        )
    return digests


def _digests_in(session: Session, datasets: tuple[str, ...]) -> set[str]:
    if not datasets:
        return set()
    found: set[str] = set()
    with session.existing_runtime("base") as runtime:
        for name in datasets:
            digests = runtime.digests_of_dataset(name)
            if not digests:
                raise BadInputError(
                    f"no tile of the dataset {name!r} is in the base in use or in the store",
                    remedy="aerotile datasets list and aerotile base info name those that are",
                )
            found |= digests
    return found
