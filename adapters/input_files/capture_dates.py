"""Capture dates that come beside tiles: a CSV by tile, or a STAC item for all of them."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.ports.offered_tile import OfferedTile
from ...domain.values.areas import Area
from ...domain.values.shapes import MultiPolygon, Polygon
from ...domain.values.tile_grid import MAX_ZOOM, Bbox
from ...domain.values.timestamps import microseconds_of, read_time, timestamp_of
from ..files.regular_file import read_one_more
from ..geojson_shapes import read_shape
from ..strict_json import parse_json
from .errors import InputFileError

COLUMNS = ("z", "x", "y", "captured_at")
_MAX_LINE_BYTES = 1_000
_MAX_ITEM_BYTES = 16 << 20
_NOTHING_STORED = "correct the file; nothing was stored"
_SHOWN_CHARACTERS = 100
_LAYOUT = (
    f"its first line must name the columns {','.join(COLUMNS)}, with y from the north; nothing was stored"
)


class CaptureDateError(InputFileError):
    """The file does not hold capture dates; the message names the file and the line."""

    def __init__(self, message: str, *, remedy: str = _NOTHING_STORED) -> None:
        super().__init__(message, remedy=remedy)


@attrs.frozen(eq=False)
class DatesByPlace:
    """The capture date of each place that a CSV names, 16 bytes each; a call with a tile gives its date."""

    _places: npt.NDArray[np.int64]
    """Ascending."""
    _captured_us: npt.NDArray[np.int64]

    def __call__(self, tile: OfferedTile) -> datetime | None:
        """The date of a tile; None where the CSV does not name its place."""
        if not _is_on_grid(tile.zoom_level, tile.x, tile.y):
            return None
        place = _place(tile.zoom_level, tile.x, tile.y)
        position = int(self._places.searchsorted(place))
        if position == len(self._places) or self._places[position] != place:
            return None
        return timestamp_of(int(self._captured_us[position]))

    def __len__(self) -> int:
        return len(self._places)


def read_dates_by_place(path: Path) -> DatesByPlace:
    """Read a CSV with the columns z, x, y (from the north) and captured_at, in any order.

    Raises `CaptureDateError` for other columns, a place named twice, or anything unreadable; `OSError`.
    """
    places, captured_us, lines = array("q"), array("q"), array("q")
    with path.open("rb") as file:
        reader = csv.reader(_lines(file, path), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if sorted(header) != sorted(COLUMNS):
                columns = ", ".join(header) or "of an empty file"
                if len(columns) > _SHOWN_CHARACTERS:
                    columns = f"{columns[:_SHOWN_CHARACTERS]}..."
                raise CaptureDateError(f"{path} has the columns {columns}", remedy=_LAYOUT)
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ValueError(f"{len(row)} values for {len(header)} columns")
                values = dict(zip(header, row, strict=True))
                zoom_level, x, y = (_whole(name, values[name]) for name in COLUMNS[:3])
                if not _is_on_grid(zoom_level, x, y):
                    raise ValueError(f"{zoom_level}/{x}/{y} is no place of the grid")
                places.append(_place(zoom_level, x, y))
                captured_us.append(microseconds_of(read_time(values["captured_at"])))
                lines.append(reader.line_num)
        except UnicodeDecodeError as error:
            raise CaptureDateError(f"{path} is not UTF-8 text") from error
        except (ValueError, csv.Error) as error:
            raise CaptureDateError(f"{path}, line {reader.line_num}: {error}") from error
    order = np.argsort(np.frombuffer(places, np.int64), kind="stable")
    ascending = np.frombuffer(places, np.int64)[order]
    twice = np.flatnonzero(ascending[1:] == ascending[:-1])
    if len(twice):
        first, second = (lines[int(order[position])] for position in (twice[0], twice[0] + 1))
        raise CaptureDateError(f"{path} names a place twice, in lines {first} and {second}")
    return DatesByPlace(ascending, np.frombuffer(captured_us, np.int64)[order])


def _lines(file: BinaryIO, path: Path) -> Iterator[str]:
    encoding = "utf-8-sig"
    while line := file.readline(_MAX_LINE_BYTES + 1):
        if len(line) > _MAX_LINE_BYTES:
            raise CaptureDateError(f"{path} has a line of more than {_MAX_LINE_BYTES} bytes")
        yield line.decode(encoding)
        encoding = "utf-8"


def _whole(name: str, text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        raise ValueError(f"{name} must be a whole number of 0 or more, got {text!r}")
    return int(text)


def _is_on_grid(zoom_level: int, x: int, y: int) -> bool:
    return 0 <= zoom_level <= MAX_ZOOM and 0 <= x < 1 << zoom_level and 0 <= y < 1 << zoom_level


def _place(zoom_level: int, x: int, y: int) -> int:
    return (zoom_level << MAX_ZOOM | x) << MAX_ZOOM | y


@attrs.frozen
class StacDate:
    """The capture date that a STAC item gives to all of its imagery."""

    item: str
    """The item's id."""
    captured_at: datetime
    """Of a range its start: the age of a tile is counted from the oldest ground that it may show."""
    until: datetime | None
    """The end of the range; None for a single time."""
    ground: tuple[Area, ...] = ()
    """The ground that the item is of lies in each, its `bbox` and its footprint (`geometry`).

    Empty where it does not say.
    """

    def __call__(self, tile: OfferedTile) -> datetime | None:
        """The date of a tile; None for one of other ground."""
        if not _is_on_grid(tile.zoom_level, tile.x, tile.y):
            return None
        place = (tile.zoom_level, tile.x, tile.y)
        return self.captured_at if all(area.touches(*place) for area in self.ground) else None

    @property
    def origin(self) -> str:
        """Where the date came from, in words."""
        text = "".join(c if c.isprintable() else "?" for c in self.item)[:200]
        if self.until is None:
            return f"STAC item {text}"
        return f"STAC item {text}, the start of a range until {self.until.isoformat()}"


def read_stac_date(path: Path) -> StacDate:
    """Read the time of a STAC item: `datetime`, or the start of `start_datetime` to `end_datetime`.

    Raises `CaptureDateError` for a file that is no item, an item without a time, or times that contradict
    each other; `OSError`.
    """
    with path.open("rb") as stream:
        content = read_one_more(stream, _MAX_ITEM_BYTES)
    try:
        if len(content) > _MAX_ITEM_BYTES:
            raise ValueError(f"it is larger than {_MAX_ITEM_BYTES >> 20} MiB")
        return _stac_date(parse_json(content.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise CaptureDateError(f"{path} gives no capture date: {error}") from error


def _stac_date(item: Any) -> StacDate:
    if not isinstance(item, dict) or item.get("type") != "Feature" or "stac_version" not in item:
        kind = item.get("type") if isinstance(item, dict) else type(item).__name__
        raise ValueError(f"it is no STAC item but {kind!r}")
    properties = item.get("properties")
    if not isinstance(properties, dict):
        raise ValueError("the item has no properties")
    ground = tuple(Area(shapes) for shapes in (_boxes(item.get("bbox")), _footprint(item)) if shapes)
    at, start, end = (_time(properties, name) for name in ("datetime", "start_datetime", "end_datetime"))
    if (start is None) != (end is None):
        raise ValueError("start_datetime and end_datetime belong together, and one is missing")
    if start is not None and end is not None:
        if not start <= (start if at is None else at) <= end:
            raise ValueError("datetime lies outside of start_datetime and end_datetime")
        if start > end:
            raise ValueError("start_datetime lies behind end_datetime")
        return StacDate(str(item.get("id")), start, end, ground)
    if at is None:
        raise ValueError("the item has neither datetime nor start_datetime and end_datetime")
    return StacDate(str(item.get("id")), at, None, ground)


def _footprint(item: dict[str, Any]) -> tuple[Bbox | Polygon | MultiPolygon, ...]:
    """The polygon that is the item's `geometry`; none where it is something else, or not there."""
    geometry = item.get("geometry")
    if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return ()
    try:
        return (read_shape(geometry),)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its footprint is impossible: {error}") from error


def _boxes(bbox: Any) -> tuple[Bbox, ...]:
    """The boxes of a `bbox` of GeoJSON, with heights or without; none without one."""
    if bbox is None:
        return ()
    if not (
        isinstance(bbox, list)
        and len(bbox) in (4, 6)
        and all(isinstance(edge, (int, float)) and not isinstance(edge, bool) for edge in bbox)
    ):
        raise ValueError("its bbox is not west, south, east, north")
    west, south = bbox[:2]
    east, north = bbox[len(bbox) // 2 :][:2]
    try:
        if west > east:  # across the antimeridian
            return Bbox(south, west, north, 180.0), Bbox(south, -180.0, north, east)
        return (Bbox(south, west, north, east),)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its bbox is impossible: {error}") from error


def _time(properties: dict[str, Any], name: str) -> datetime | None:
    value = properties.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, got {value!r}")
    return read_time(value)
