"""Read plans of QGroundControl (`.plan`, JSON): simple items, surveys and landing patterns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ....domain.values.tile_grid import Point
from .coordinates import point_of
from .drawing import Drawing, DrawingBuilder
from .mission_items import MissionItem, points_of_mission

_GLOBAL_FRAME, _WAYPOINT, _LAND = 3, 16, 21
_MULTIROTOR = 2
_LANDING_PATTERNS = (
    ("landingApproachCoordinate", _WAYPOINT),
    ("loiterCoordinate", _WAYPOINT),
    ("landCoordinate", _LAND),
)


def is_plan(document: Any) -> bool:
    """Whether a JSON document is a plan of QGroundControl."""
    return isinstance(document, Mapping) and (document.get("fileType") == "Plan" or "geoFence" in document)


def read_plan(document: Any) -> Drawing:
    """The route of a plan. Raises `ValueError`, which names the item."""
    mission = document.get("mission")
    items = mission.get("items") if isinstance(mission, Mapping) else None
    if not isinstance(items, list):
        raise ValueError("its mission has no items")
    found = DrawingBuilder()
    _count(found, document, "rallyPoints", "points", "rally point")
    _count(found, document, "geoFence", "polygons", "polygon of the geofence")
    _count(found, document, "geoFence", "circles", "circle of the geofence")
    home = _position(mission.get("plannedHomePosition"), "the planned home")
    if home == (0.0, 0.0):
        found.left_out["home without a position (0,0)"] += 1
        home = None
    steps: list[MissionItem] = []
    for number, item in enumerate(items, 1):
        try:
            steps += _steps(item, found)
        except ValueError as error:
            raise ValueError(f"item {number}: {error}") from error
    found.add_line("", points_of_mission(steps, home, found))
    speed = _speed(mission)
    return attrs.evolve(
        found.drawing(), routes=tuple(attrs.evolve(route, speed_m_s=speed) for route in found.routes)
    )


def _steps(item: Any, found: DrawingBuilder) -> Iterator[MissionItem]:
    if not isinstance(item, Mapping):
        raise ValueError("it is no item of a mission")
    if item.get("type") != "ComplexItem":
        yield _simple_item(item)
        return
    transects = item.get("TransectStyleComplexItem", item)
    if not isinstance(transects, Mapping):
        raise ValueError("its TransectStyleComplexItem is no object")
    kind = str(item.get("complexItemType"))
    points = transects.get("VisualTransectPoints")
    patterns = [(name, command) for name, command in _LANDING_PATTERNS if item.get(name) is not None]
    if isinstance(points, list) and points:
        yield from (_step(point, _WAYPOINT) for point in points)
    elif isinstance(transects.get("Items"), list) and transects["Items"]:
        yield from (_simple_item(each) for each in transects["Items"])
    elif patterns:
        yield from (_step(item[name], command) for name, command in patterns)
    elif isinstance(item.get("polygon"), list) and item["polygon"]:  # a structure scan flies around it
        yield from (_step(point, _WAYPOINT) for point in (*item["polygon"], item["polygon"][0]))
    else:
        found.left_out[f"complex item {kind[:40]!r} without points"] += 1


def _simple_item(item: Any) -> MissionItem:
    if not isinstance(item, Mapping):
        raise ValueError("it is no item of a mission")
    command, frame, params = item.get("command"), item.get("frame"), item.get("params")
    if not isinstance(params, list) or len(params) < 6:
        # Plans of version 1 have the position beside the parameters.
        params = [None] * 4 + _numbers(item.get("coordinate"))[:2]
    if not isinstance(command, int) or not isinstance(frame, int) or isinstance(command, bool):
        raise ValueError(f"command {command!r} and frame {frame!r} are no numbers")
    return MissionItem(command, frame, *params[4:6])


def _step(position: Any, command: int) -> MissionItem:
    numbers = _numbers(position)
    if numbers[:2] == [None, None]:
        raise ValueError(f"{str(position)[:60]} is no latitude and longitude")
    return MissionItem(command, _GLOBAL_FRAME, *numbers[:2])


def _numbers(position: Any) -> list[Any]:
    return position if isinstance(position, list) and len(position) >= 2 else [None, None]


def _position(position: Any, name: str) -> Point | None:
    """Latitude and longitude of a list, QGroundControl's order."""
    if position is None:
        return None
    lat, lon = _numbers(position)[:2]
    if lat is None or lon is None:
        return None
    try:
        return point_of(lon, lat)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _speed(mission: Mapping[str, Any]) -> float | None:
    name = "hoverSpeed" if mission.get("vehicleType") == _MULTIROTOR else "cruiseSpeed"
    speed = mission.get(name)
    return float(speed) if isinstance(speed, (int, float)) and 0 < speed < 1000 else None


def _count(found: DrawingBuilder, document: Mapping[str, Any], section: str, name: str, kind: str) -> None:
    part = document.get(section)
    things = part.get(name) if isinstance(part, Mapping) else None
    if isinstance(things, list) and things:
        found.left_out[kind] += len(things)
