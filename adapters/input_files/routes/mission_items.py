"""Items of a mission by the MAVLink common message set: which ones lead somewhere, and where."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from ....domain.values.tile_grid import Point
from ....domain.values.validators import is_real
from .coordinates import point_of
from .drawing import DrawingBuilder

LED_TO = frozenset({16, 17, 18, 19, 21, 22, 31, 36, 82, 84, 85, 94})
"""NAV commands whose position is flown to: waypoints, loiters, take-offs, landings, a payload's place."""
RETURN_TO_LAUNCH = 20
_LAST_NAV = 95
_CONDITIONS = range(112, 160)
_FENCE_AND_RALLY = range(5000, 5101)
_GLOBAL_FRAMES = frozenset({0, 3, 5, 6, 10, 11})
_MISSION_FRAME = 2


@attrs.frozen
class MissionItem:
    """One item of a mission: its MAV_CMD, its MAV_FRAME, and its position, which may be nowhere."""

    command: int
    frame: int
    lat: Any
    lon: Any

    @property
    def is_nowhere(self) -> bool:
        """Whether it has no position: none at all, NaN, or (0, 0), which autopilots read as "here"."""
        numbers = [value for value in (self.lat, self.lon) if is_real(value)]
        # JSON has whole numbers that no float holds; such a one is no latitude, which is an error.
        unknown = any(isinstance(value, float) and not math.isfinite(value) for value in numbers)
        return len(numbers) < 2 or unknown or numbers == [0.0, 0.0]


def points_of_mission(items: Iterable[MissionItem], home: Point | None, found: DrawingBuilder) -> list[Point]:
    """The places that a mission leads to, beginning at home where that is known.

    Counts in `found` the items that lead nowhere. Raises `ValueError` for positions in metres.
    """
    points = [] if home is None else [home]
    for number, item in enumerate(items, 1):
        if item.command == RETURN_TO_LAUNCH and home is not None:
            points.append(home)
        elif item.command not in LED_TO:
            found.left_out[_kind(item.command)] += 1
        elif item.is_nowhere:
            found.left_out["item without a position (0,0)"] += 1
        elif item.frame not in (*_GLOBAL_FRAMES, _MISSION_FRAME):
            raise ValueError(
                f"item {number} lies in metres from the take-off (MAV_FRAME {item.frame}), not on the map"
            )
        else:
            points.append(point_of(item.lon, item.lat))
    return points


def _kind(command: int) -> str:
    if command == RETURN_TO_LAUNCH:
        return "return to a home that is unknown"
    if command <= _LAST_NAV:
        return "NAV command that leads to no place"
    if command in _CONDITIONS:
        return "CONDITION command"
    if command in _FENCE_AND_RALLY:
        return "fence or rally point"
    return "DO command"
