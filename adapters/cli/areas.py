"""Options that name ground: files and boxes, and the width of a corridor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from .arguments import corridor
from .errors import BadInputError
from .option_groups import gather

if TYPE_CHECKING:
    from ...domain.values.areas import Area

_area_option = click.option(
    "--area",
    "areas",
    multiple=True,
    metavar="FILE|BOX",
    help="Only tiles that touch this ground: a drawing (GeoJSON, KML, GPX, a plan) or "
    "MIN_LON,MIN_LAT,MAX_LON,MAX_LAT in degrees; may be given again.  [default: everywhere]",
)
_corridor_option = click.option(
    "--corridor",
    "corridor_m",
    type=corridor,
    metavar="DISTANCE",
    help="How far the ground reaches to each side of a line, such as 5km.",
)


@attrs.frozen
class AreaOptions:
    """The ground that a person names."""

    areas: tuple[str, ...]
    corridor_m: float | None

    def read(self) -> tuple[Area | None, Mapping[str, int]]:
        """The ground that the options name, None without one; and what of its files is no ground, counted.

        Raises `BadInputError`, `InputFileError`.
        """
        if self.corridor_m is not None and not self.areas:
            raise BadInputError("--corridor goes along a line, and no --area is given", remedy="give --area")
        return read_ground(self.areas, self.corridor_m, "--area")


def read_ground(
    sources: Sequence[str | Path], corridor_m: float | None, named_by: str
) -> tuple[Area | None, Mapping[str, int]]:
    """The ground of files and boxes, None without any; and what of the files is no ground, counted and told.

    Raises `BadInputError`, which begins with `named_by`, and `InputFileError`.
    """
    from ..input_files.area_files import parse_boxes, read_area

    if not sources:
        return None, {}
    missing = [str(source) for source in sources if not Path(source).exists()]
    for text in missing:
        if "," not in text:
            raise BadInputError(
                f"{named_by}: no file {text}",
                remedy="name a drawing, or a box MIN_LON,MIN_LAT,MAX_LON,MAX_LAT",
            )
    try:
        for text in missing:
            if parse_boxes(text) is None:
                raise ValueError(f"{text!r} is no box")
        named = read_area(sources, corridor_m=corridor_m)
    except ValueError as error:
        raise BadInputError(
            f"{named_by}: {error}", remedy="a box is MIN_LON,MIN_LAT,MAX_LON,MAX_LAT in degrees"
        ) from error
    for kind, count in named.left_out.items():
        click.echo(f"left out of the area: {count} x {kind}", err=True)
    return named.area, named.left_out


def add_area_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options `--area` and `--corridor`, as the parameter `area_options`."""
    return _area_option(_corridor_option(gather("area_options", AreaOptions)(function)))
