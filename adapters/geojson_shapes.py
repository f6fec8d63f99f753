"""Geometries of GeoJSON (RFC 7946) as shapes, and back, to the last bit.

A polygon that is exactly a box is a `Bbox`. Messages of refusals name what is wrong with the geometry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..domain.values.shapes import MultiPolygon, Polygon, corners_of
from ..domain.values.tile_grid import Bbox, Point
from .ring_checks import check_rings

FARTHEST_DEGREES = 360.0
"""No longitude or latitude is greater, however it is counted; what is, is a length."""


def geometry_of(shape: Bbox | Polygon | MultiPolygon) -> dict[str, Any]:
    """The geometry of a shape. A box has the member `bbox`, which tells it from a polygon like it."""
    if isinstance(shape, Bbox):
        bounds = [shape.min_lon, shape.min_lat, shape.max_lon, shape.max_lat]
        return {"type": "Polygon", "bbox": bounds, "coordinates": [_closed(corners_of(shape))]}
    if isinstance(shape, Polygon):
        return {"type": "Polygon", "coordinates": [_closed(ring) for ring in shape.rings]}
    rings = [[_closed(ring) for ring in polygon.rings] for polygon in shape.polygons]
    return {"type": "MultiPolygon", "coordinates": rings}


def _closed(ring: Sequence[Point]) -> list[list[float]]:
    return [list(point) for point in (*ring, ring[0])]


def shape_of_geometry(geometry: Any) -> Bbox | Polygon | MultiPolygon:
    """The shape that `geometry_of` made a geometry of. Raises `ValueError` for any other."""
    try:
        if "bbox" in geometry:
            west, south, east, north = geometry["bbox"]
            return Bbox(south, west, north, east)
        kind, coordinates = geometry["type"], geometry["coordinates"]
        if kind == "MultiPolygon":
            return MultiPolygon([Polygon(rings) for rings in coordinates])
        if kind == "Polygon":
            return Polygon(coordinates)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no geometry of a sector: {error!r}") from error
    raise ValueError(f"a geometry is a Polygon or a MultiPolygon, got {kind!r}")


def read_shape(geometry: Any) -> Bbox | Polygon | MultiPolygon:
    """The shape of a Polygon or MultiPolygon of a file from outside. Raises `ValueError`."""
    kind = geometry.get("type") if isinstance(geometry, Mapping) else kind_of(geometry)
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"its geometry must be a Polygon or MultiPolygon, got {kind!r}")
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not polygons:
        raise ValueError(f"its {kind} has no coordinates")
    return read_polygons(polygons)


def read_polygons(polygons: Sequence[Any]) -> Bbox | Polygon | MultiPolygon:
    """The shape of polygons, each a list of rings of positions. Raises `ValueError`."""
    parts = [_part(polygon) for polygon in polygons]
    if len(parts) == 1:
        return parts[0]
    return MultiPolygon(
        [Polygon([corners_of(part)]) if isinstance(part, Bbox) else part for part in parts],
    )


def _part(polygon: Any) -> Bbox | Polygon:
    if not isinstance(polygon, list) or not polygon:
        raise ValueError("a polygon must be a non-empty list of rings")
    rings = [_ring(ring) for ring in polygon]
    # A line of 360 degrees (-180 to 180) belongs to a box around the world, or leads across the antimeridian.
    longest = max(abs(lon - next_lon) for ring in rings for (lon, _), (next_lon, _) in pairwise(ring))
    lons, lats = zip(*rings[0], strict=True)
    box = Bbox(min(lats), min(lons), max(lats), max(lons))
    if any(_is_flat(ring) for ring in rings):
        raise ValueError("a polygon has no area")
    is_box = len(rings) == 1 and _is_box(rings[0], box)
    if longest > 180 and not (is_box and longest == 360):
        raise ValueError(
            "an edge is longer than 180 degrees; cut a polygon that crosses the antimeridian in two "
            "there (RFC 7946, 3.1.9), give a longer edge more points"
        )
    if is_box:
        return box
    check_rings(rings)
    return Polygon(rings)


def _is_flat(ring: Sequence[Point]) -> bool:
    """Whether all points lie on the line through the first one and the one farthest from it."""
    lon, lat = ring[0]
    far_lon, far_lat = max(ring, key=lambda point: math.dist(point, ring[0]))
    return all((far_lon - lon) * (y - lat) == (far_lat - lat) * (x - lon) for x, y in ring)


def _ring(ring: Any) -> list[Point]:
    if not isinstance(ring, list) or len(ring) < 4:
        raise ValueError("a ring must be a list of four or more positions")
    points = [read_position(position) for position in ring]
    if points[0] != points[-1]:
        raise ValueError("a ring must end where it begins")
    return points


def read_position(position: Any) -> Point:
    """A place in degrees. Raises `ValueError` for what is none, metres of a projection too."""
    if not isinstance(position, list) or not 2 <= len(position) <= 4:
        raise ValueError(f"a position must be [longitude, latitude], got {_shortened(position)}")
    lon, lat = position[0], position[1]
    for value in (lon, lat):
        # A comparison, because `isfinite` can't take an integer that no float holds.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < math.inf:
            raise ValueError(f"a position must hold numbers, got {_shortened(position)}")
    if max(abs(lon), abs(lat)) > FARTHEST_DEGREES:
        raise ValueError(
            f"position {_shortened(position)} is no longitude and latitude in degrees but looks like metres "
            "of a projection (Web Mercator, UTM); export the file in WGS 84 (EPSG:4326)"
        )
    if not -180 <= lon <= 180:
        raise ValueError(
            f"longitude {_shortened(lon)} is not within -180..180; "
            "cut polygons that cross the antimeridian in two"
        )
    if not -90 <= lat <= 90:
        raise ValueError(f"latitude {lat} is not within -90..90; positions are [longitude, latitude]")
    return float(lon), float(lat)


def _is_box(ring: Sequence[Point], box: Bbox) -> bool:
    """Whether the ring runs along the edge of the box only, and around all of it."""
    along_edge = all(
        (lon == next_lon and lon in (box.min_lon, box.max_lon))
        or (lat == next_lat and lat in (box.min_lat, box.max_lat))
        for (lon, lat), (next_lon, next_lat) in pairwise(ring)
    )
    return along_edge and set(corners_of(box)) <= set(ring)


def kind_of(value: Any) -> str:
    """What a value of JSON is, in a word or two."""
    if isinstance(value, Mapping):
        return str(value.get("type"))[:40]
    return {list: "a list", str: "a text", type(None): "nothing"}.get(type(value), type(value).__name__)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
