"""Read waypoint files of ArduPilot, Mission Planner and older QGroundControl: `QGC WPL 110`.

A line an item: index, current, frame, command, four parameters, latitude, longitude, altitude, autocontinue.
Item 0 is home.
"""

from __future__ import annotations

import math
import re

from ....domain.values.number_texts import read_decimal, read_whole
from .coordinates import point_of
from .drawing import Drawing, DrawingBuilder
from .mission_items import MissionItem, points_of_mission

HEADER = re.compile(rb"QGC WPL (\d+)")
_COLUMNS = 12


def read_waypoint_file(content: bytes) -> Drawing:
    """The route of a waypoint file. Raises `ValueError`, which names the line."""
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError("it is no text") from None
    found = DrawingBuilder()
    items = []
    for number, line in enumerate(lines[1:], 2):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                items.append(_item(line.split()))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    home = None
    if items and items[0][0] == 0:
        first = items.pop(0)[1]
        if first.is_nowhere:
            found.left_out["home without a position (0,0)"] += 1
        else:
            home = point_of(first.lon, first.lat)
    found.add_line("", points_of_mission((item for _, item in items), home, found))
    return found.drawing()


def _item(columns: list[str]) -> tuple[int, MissionItem]:
    if len(columns) != _COLUMNS:
        raise ValueError(f"an item has {_COLUMNS} columns, this one has {len(columns)}")
    try:
        index, frame, command = (read_whole(columns[position]) for position in (0, 2, 3))
        lat, lon = (math.nan if text == "nan" else read_decimal(text) for text in columns[8:10])
    except ValueError:
        raise ValueError(f"it is no item: {' '.join(columns)[:60]!r}") from None
    return index, MissionItem(command, frame, lat, lon)
