"""Types of arguments: texts of the command line, read into values of the domain."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from .errors import BadInputError

if TYPE_CHECKING:
    from ...domain.values.areas import Area
    from ...domain.values.recall_list import CaptureRange
    from ...domain.values.tile_grid import Bbox
    from ...domain.values.tiles import TileId

T = TypeVar("T")


def _argument(read: Callable[[str], T]) -> Callable[[str], T]:
    """A type of arguments: the `ValueError` of `read` is a wrong call of the program."""

    @wraps(read)
    def convert(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return convert


@_argument
def moment(text: str) -> datetime:
    """Read a date, or a date and time with an offset; see `read_time`."""
    from ...domain.values.timestamps import read_time

    return read_time(text)


@_argument
def decimal(text: str) -> float:
    """Read a number; see `read_decimal`."""
    from ...domain.values.number_texts import read_decimal

    return read_decimal(text)


class WholeRange(click.IntRange):
    """Whole numbers of a range; see `read_whole`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.IntRange`."""
        from ...domain.values.number_texts import read_whole

        try:
            whole: int = super().convert(read_whole(value) if isinstance(value, str) else value, param, ctx)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return whole


NUMBER = WholeRange(1, 10**18 - 1)
"""Of generations and lists: what fits 64 bits, and 18 digits."""


@_argument
def zoom(text: str) -> int:
    """Read a zoom level within 0..22."""
    from ..input_files.quantities import parse_zoom

    return parse_zoom(text)


def generation_name(text: str) -> str:
    """Read the name of a generation: its number, with or without the zeros in front."""
    return text.zfill(6) if text.isascii() and text.isdigit() else text


@_argument
def box(text: str) -> Bbox:
    """Read `MIN_LON,MIN_LAT,MAX_LON,MAX_LAT` in degrees, the order of GeoJSON and OGC."""
    from ...domain.values.number_texts import read_decimals
    from ...domain.values.tile_grid import Bbox

    try:
        min_lon, min_lat, max_lon, max_lat = read_decimals(text, 4)
    except ValueError:
        raise ValueError(f"a box is MIN_LON,MIN_LAT,MAX_LON,MAX_LAT in degrees, got {text!r}") from None
    return Bbox(min_lat, min_lon, max_lat, max_lon)


@_argument
def near(text: str) -> Area:
    """Read `LAT,LON,RADIUS`: a place in degrees and a distance such as `5km` or `800m`."""
    from ...domain.values.areas import Area
    from ...domain.values.number_texts import read_decimals
    from ..input_files.quantities import parse_distance

    try:
        place, _, radius = text.rpartition(",")
        lat, lon = read_decimals(place, 2)
        radius_m = parse_distance(radius)
    except ValueError:
        raise ValueError(f"a prior is LAT,LON,RADIUS such as 48.1,11.6,5km, got {text!r}") from None
    return Area.around(lat, lon, radius_m)


@_argument
def capture_range(text: str) -> CaptureRange:
    """Read `FIRST,LAST`, each a date or a time with an offset; of a date the whole day counts."""
    from ...domain.values.recall_list import CaptureRange
    from ...domain.values.timestamps import end_of, read_time

    try:
        first, last = text.split(",")
    except ValueError:
        raise ValueError(f"a range is FIRST,LAST such as 2024-05-01,2024-06-30, got {text!r}") from None
    return CaptureRange(read_time(first), end_of(last))


@_argument
def corridor(text: str) -> float:
    """Read how far a corridor reaches to each side, such as `5km`; gives metres."""
    from ..input_files.quantities import parse_corridor

    return parse_corridor(text)


@_argument
def speed(text: str) -> float:
    """Read a speed over ground, such as `25m/s`; gives metres a second."""
    from ..input_files.quantities import parse_flight_speed

    return parse_flight_speed(text)


@_argument
def zooms(text: str) -> tuple[int, ...]:
    """Read zoom levels: `16`, `15-17`, or several of them with commas between."""
    from ..input_files.quantities import parse_zooms

    return parse_zooms(text)


def headings(text: str) -> tuple[int, ...]:
    """Read headings in degrees with commas between, such as `0,90,180,270`."""
    from ...domain.values.number_texts import read_whole
    from ...domain.values.pictures import check_headings

    try:
        return check_headings([read_whole(part.strip()) for part in text.split(",")])
    except ValueError as error:
        raise click.BadParameter(f"{error}, in {text!r}") from None


def byte_size(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Read a number of bytes such as `20 MiB`."""
    if text is None:
        return None
    from ..config.values import parse_byte_size

    try:
        return parse_byte_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def byte_rate(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Read a number of bytes a second such as `20 MiB`."""
    rate = byte_size(context, parameter, text)
    if rate is not None and rate < 1:
        raise click.BadParameter(f"must be at least 1 byte a second, got {text!r}")
    return rate


def variant(text: str) -> str:
    """Read a source, or `onboard/FLIGHT`; gives the flight as UUIDs are written."""
    from ...domain.values.tiles import TileSource

    source, slash, flight = text.partition("/")
    try:
        if slash and TileSource(source) is TileSource.ONBOARD:
            return f"{source}/{UUID(flight)}"
        return TileSource(text).value
    except ValueError:
        sources = ", ".join(each.value for each in TileSource)
        raise click.BadParameter(f"must be one of {sources}, or onboard/FLIGHT, got {text!r}") from None


def tile_ids(texts: Iterable[str]) -> list[TileId]:
    """The tiles that an operator names, each once. Raises `BadInputError`."""
    from ...domain.values.tiles import parse_tile_id

    try:
        return list(dict.fromkeys(map(parse_tile_id, texts)))
    except ValueError as error:
        raise BadInputError(str(error), remedy="write it as aerotile dump prints it") from error


class ExistingFile(click.Path):
    """A file that can be read; no named pipe, whose opening waits until somebody writes into it."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, readable=True, path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """See `click.Path`. What a shell hands over as /dev/fd/N has a writer already."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if stat.S_ISFIFO(path.stat().st_mode) and Path("/dev") not in path.parents:
            self.fail(f"File {str(path)!r} is a pipe.", param, ctx)
        return path


EXISTING_FILE = ExistingFile()
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, readable=True, path_type=Path)
