"""The ground that tiles cover: as facts, as lines, and the option that draws it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...domain.values.counted import counted
from .errors import BadInputError
from .new_files import refuse_own_folders
from .output import write_line

if TYPE_CHECKING:
    from ...domain.values.coverage import ZoomCoverage
    from ...domain.values.tile_grid import Bbox
    from ..config.settings import AerotileConfig

FC = TypeVar("FC", bound=Callable[..., Any])
"""What a decorator of click takes and gives back."""


def drawing_option(what: str) -> Callable[[FC], FC]:
    """The option `--map FILE.png`, which draws `what`."""
    return click.option(
        "--map",
        "map_file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.png",
        help=f"Draw {what}, a panel for each zoom.",
    )


map_option = drawing_option("the ground that is covered")


def check_map_file(map_file: Path | None, config: AerotileConfig) -> None:
    """Raise `BadInputError` where no map can be written, before a long job begins."""
    if map_file is None:
        return
    if map_file.suffix.lower() != ".png":
        raise BadInputError(f"{map_file} is no name of a PNG", remedy="name a file FILE.png")
    if not (map_file.parent.is_dir() and os.access(map_file.parent, os.W_OK)):
        raise BadInputError(
            f"{map_file} can't be written: {map_file.parent} is no folder that this user may write to",
            remedy="name a file in another folder",
        )
    refuse_own_folders(map_file, config)


def coverage_facts(coverage: Sequence[ZoomCoverage]) -> list[dict[str, Any]]:
    """For each zoom its tiles and its boxes, each MIN_LON, MIN_LAT, MAX_LON, MAX_LAT in degrees."""
    return [
        {
            "zoom": one.zoom_level,
            "tiles": one.tiles,
            "boxes": [[box.min_lon, box.min_lat, box.max_lon, box.max_lat] for box in one.boxes],
        }
        for one in coverage
    ]


def write_coverage(facts: Sequence[dict[str, Any]]) -> None:
    """Print a line for each zoom, which shows the hemispheres that its tiles lie in."""
    write_line("ground covered:" if facts else "ground covered: none")
    for one in facts:
        write_line(
            f"  zoom {one['zoom']}: {' and '.join(map(_box, one['boxes']))} ({counted(one['tiles'], 'tile')})"
        )


def boxes_around(boxes: Iterable[Bbox]) -> list[Bbox]:
    """The box around boxes; two where they lie on both sides of the antimeridian with a gap between."""
    from ...domain.values.tile_grid import Bbox

    some = sorted(boxes, key=lambda box: box.min_lon)
    if not some:
        return []
    south, north = min(box.min_lat for box in some), max(box.max_lat for box in some)
    easts = list(accumulate((box.max_lon for box in some), max))
    spans = [(some[0].min_lon, easts[-1])]
    if spans == [(-180.0, 180.0)]:
        gaps = [(box.min_lon - east, east, box.min_lon) for east, box in zip(easts, some[1:], strict=False)]
        width, west, east = max(gaps, default=(0.0, 0.0, 0.0))
        spans = [(east, 180.0), (-180.0, west)] if width > 0 else spans
    return [Bbox(south, west, north, east) for west, east in spans]


def degrees_of_box(box: Bbox) -> str:
    """A box with the hemispheres that it lies in."""
    return _box((box.min_lon, box.min_lat, box.max_lon, box.max_lat))


def _box(edges: Sequence[float]) -> str:
    min_lon, min_lat, max_lon, max_lat = edges
    latitudes = f"{_degrees(min_lat, 'NS')} to {_degrees(max_lat, 'NS')}"
    return f"{latitudes}, {_degrees(min_lon, 'EW')} to {_degrees(max_lon, 'EW')}"


def _degrees(value: float, letters: str) -> str:
    return f"{abs(value):.4f} {letters[value < 0]}"
