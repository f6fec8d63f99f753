"""What commands take from the command line, read into the domain's values."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

if TYPE_CHECKING:
    from ...domain.tile_grid import Bbox
    from ...domain.tiles import TileId


class _Moment(click.ParamType):
    """A moment in ISO 8601: a date (its first instant in UTC), or a date and time with an offset."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the text as a datetime in UTC."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            day = date.fromisoformat(text)
        except ValueError:
            pass
        else:
            return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        try:
            # CPython 3.10 does not read the Z of ISO 8601.
            moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
        except ValueError:
            self.fail(f"{value!r} is not a date such as 2024-05-01 or 2024-05-01T12:00:00Z", param, ctx)
        if moment.utcoffset() is None:
            self.fail(f"{value!r} has a time but no offset; write {text}Z for UTC", param, ctx)
        try:
            return moment.astimezone(timezone.utc)
        except OverflowError:
            self.fail(f"{value!r} is out of range", param, ctx)


class _Zoom(click.ParamType):
    """A zoom level."""

    name = "zoom"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text as a zoom level within 0..22."""
        from ...domain.tile_grid import MAX_ZOOM

        try:
            zoom = int(value)
        except ValueError:
            zoom = -1
        if not 0 <= zoom <= MAX_ZOOM:
            self.fail(f"a zoom level is a whole number within 0..{MAX_ZOOM}, got {value!r}", param, ctx)
        return zoom


class _Box(click.ParamType):
    """A box in degrees as `MIN_LON,MIN_LAT,MAX_LON,MAX_LAT`, the order of GeoJSON and OGC."""

    name = "box"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Bbox:
        """Read the text as a box."""
        from ...domain.tile_grid import Bbox

        if isinstance(value, Bbox):
            return value
        try:
            min_lon, min_lat, max_lon, max_lat = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"a box is MIN_LON,MIN_LAT,MAX_LON,MAX_LAT in degrees, got {value!r}", param, ctx)
        try:
            return Bbox(min_lat, min_lon, max_lat, max_lon)
        except ValueError as error:
            self.fail(str(error), param, ctx)


MOMENT = _Moment()
ZOOM = _Zoom()
BOX = _Box()
EXISTING_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, readable=True, path_type=Path)


def parse_tile_id(text: str) -> TileId:
    """Read `source[/flight]/zoom/x/y`, as `str(tile_id)` writes it. Raises `ValueError`."""
    from ...domain.tiles import TileId, TileSource

    source_text, *rest = text.split("/")
    try:
        source = TileSource(source_text)
        flight_id = UUID(rest.pop(0)) if source is TileSource.ONBOARD else None
        zoom_level, x, y = (int(part) for part in rest)
        tile_id = TileId(zoom_level, x, y, source, flight_id)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{text!r} is no tile id such as imported/5/16/10: {error}") from error
    return tile_id
