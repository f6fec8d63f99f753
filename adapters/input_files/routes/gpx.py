"""Read GPX 1.0 and 1.1: routes, tracks with their times, waypoints; heights are ignored."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from ....domain.values.tile_grid import Point
from ...safe_xml import child_text, local_name
from .coordinates import point_of
from .drawing import Drawing, DrawingBuilder


def read_gpx(root: Element) -> Drawing:
    """The drawing of a `gpx` element. The segments of a track are one line. Raises `ValueError`."""
    found = DrawingBuilder()
    for element in root:
        kind = local_name(element)
        if kind == "wpt":
            found.places.append(_point(element))
        elif kind == "rte":
            _add(found, element, _named(element, "rtept"))
        elif kind == "trk":
            points = [point for segment in _named(element, "trkseg") for point in _named(segment, "trkpt")]
            _add(found, element, points)
        elif kind not in ("metadata", "extensions", "name", "desc", "author", "time", "bounds"):
            found.left_out[f"element {kind[:40]}"] += 1
    return found.drawing()


def _add(found: DrawingBuilder, element: Element, points: Iterable[Element]) -> None:
    points = list(points)
    found.add_line(
        child_text(element, "name"),
        [_point(point) for point in points],
        [child_text(point, "time") for point in points],
    )


def _named(element: Element, name: str) -> list[Element]:
    return [child for child in element if local_name(child) == name]


def _point(element: Element) -> Point:
    lat, lon = element.get("lat"), element.get("lon")
    if lat is None or lon is None:
        raise ValueError(f"a {local_name(element)} has no lat and lon")
    return point_of(lon, lat)
