"""Parameters of requests, read into values of the domain; whatever is none is refused in one line."""

from __future__ import annotations

import re
from datetime import datetime

from starlette.requests import Request

from ...domain.values.number_texts import read_decimals
from ...domain.values.tile_grid import MAX_LATITUDE, MAX_ZOOM, Bbox, GridRange
from ...domain.values.tiles import TileId, TileSource
from ...domain.values.timestamps import read_time
from .answers import RefusedError

_NUMBER = re.compile(r"[0-9]{1,8}", re.ASCII)
_SHOWN = 60
_LONGEST = 400


def named(request: Request, *names: str) -> dict[str, str]:
    """The parameters of the query, each given once at most and one of `names`."""
    given: dict[str, str] = {}
    for name, text in request.query_params.multi_items():
        if name not in names:
            raise RefusedError(
                400, f"no parameter {_short(name)} here; there are: {', '.join(names) or 'none'}"
            )
        if name in given:
            raise RefusedError(400, f"{name} is given twice")
        if len(text) > _LONGEST:
            raise RefusedError(400, f"{name} has more than {_LONGEST} characters")
        given[name] = text
    return given


def whole_number(text: str, name: str, most: int) -> int:
    """A whole number within 0..`most`."""
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise RefusedError(400, f"{name} must be a whole number within 0..{most}, got {_short(text)}")
    return int(text)


def zoom_of(request: Request) -> int:
    """The zoom in the path."""
    return whole_number(request.path_params["z"], "the zoom", MAX_ZOOM)


def place_of(request: Request) -> TileId:
    """The place of the grid in the path, as the id of an imported tile."""
    zoom = zoom_of(request)
    x, y = (whole_number(request.path_params[name], name, (1 << zoom) - 1) for name in ("x", "y"))
    return TileId(zoom, x, y, TileSource.IMPORTED)


def time_of(given: dict[str, str], name: str) -> datetime | None:
    """The time of a parameter, or None where it is not given."""
    if name not in given:
        return None
    try:
        return read_time(given[name])
    except ValueError:
        raise RefusedError(
            400,
            f"{name} must be a date such as 2026-05-01 or 2026-05-01T12:00:00Z, got {_short(given[name])}",
        ) from None


def box_of(given: dict[str, str]) -> Bbox:
    """The box of the parameter `bbox`, by default the world."""
    if "bbox" not in given:
        return Bbox(-MAX_LATITUDE, -180.0, MAX_LATITUDE, 180.0)
    try:
        west, south, east, north = read_decimals(given["bbox"], 4)
        return Bbox(south, west, north, east)
    except ValueError:
        raise RefusedError(
            400,
            "bbox must be MIN_LON,MIN_LAT,MAX_LON,MAX_LAT in degrees (a box across the antimeridian is two), "
            f"got {_short(given['bbox'])}",
        ) from None


def window_of(given: dict[str, str], zoom: int) -> GridRange:
    """The rectangle of the grid that covers the parameter `bbox`."""
    return GridRange.covering(box_of(given), zoom)


def finest_of(given: dict[str, str]) -> int:
    """The finest zoom of cells, which the screen can show."""
    return whole_number(given.get("finest", str(MAX_ZOOM)), "finest", MAX_ZOOM)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")
