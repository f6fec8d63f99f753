"""Read lines, polygons and places from GeoJSON (RFC 7946), whatever their features are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ....domain.values.tile_grid import Point
from ...geojson_shapes import kind_of, read_position, read_shape
from ..geojson import check_geojson
from .drawing import Drawing, DrawingBuilder

_GEOMETRIES = frozenset(
    {"Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection"}
)


def read_geojson(document: Any) -> Drawing:
    """The drawing of features or of one geometry. Raises `ValueError`, which names the feature."""
    if not isinstance(document, Mapping):
        raise ValueError(f"it is no GeoJSON but {kind_of(document)}")
    check_geojson(document)
    kind = document.get("type")
    if kind == "FeatureCollection":
        features = document.get("features")
        if not isinstance(features, list) or not features:
            raise ValueError("it has no features")
    elif kind == "Feature":
        features = [document]
    elif kind in _GEOMETRIES:
        features = [{"type": "Feature", "geometry": document}]
    else:
        raise ValueError(f"it is no GeoJSON but {kind_of(document)!r}")
    found = DrawingBuilder()
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
            raise ValueError(f"feature {number}: not a Feature but {kind_of(feature)!r}")
        try:
            _add(found, feature)
        except ValueError as error:
            raise ValueError(f"feature {number}: {error}") from error
    return found.drawing()


def _add(found: DrawingBuilder, feature: Mapping[str, Any]) -> None:
    if feature.get("geometry") is None:
        found.left_out["feature without geometry"] += 1
        return
    properties = feature.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    name = properties.get("name")
    for geometry in _single(feature["geometry"]):
        kind, coordinates = geometry["type"], geometry.get("coordinates")
        if kind in ("Polygon", "MultiPolygon"):
            found.shapes.append(read_shape(geometry))
        elif kind in ("Point", "MultiPoint"):
            found.places += _positions([coordinates] if kind == "Point" else coordinates, kind)
        else:
            lines = [coordinates] if kind == "LineString" else coordinates
            if not isinstance(lines, list) or not lines:
                raise ValueError(f"its {kind} has no coordinates")
            for line in lines:
                times = _times(properties) if kind == "LineString" else ()
                found.add_line(name if isinstance(name, str) else "", _positions(line, kind), times)


def _single(geometry: Any) -> Iterator[Mapping[str, Any]]:
    """The geometries of collections, however deep; in the order of the file."""
    waiting = [geometry]
    while waiting:
        geometry = waiting.pop()
        kind = geometry.get("type") if isinstance(geometry, Mapping) else None
        if kind not in _GEOMETRIES:
            raise ValueError(f"its geometry is no geometry but {kind_of(geometry)!r}")
        if kind != "GeometryCollection":
            yield geometry
        elif isinstance(geometry.get("geometries"), list):
            waiting += reversed(geometry["geometries"])
        else:
            raise ValueError("its GeometryCollection has no geometries")


def _positions(positions: Any, kind: str) -> list[Point]:
    if not isinstance(positions, list):
        raise ValueError(f"its {kind} has no coordinates")
    return [read_position(position) for position in positions]


def _times(properties: Mapping[str, Any]) -> list[str]:
    """The times of a line, as converters of GPX write them: `coordTimes`, or one of two members around it."""
    inner = properties.get("coordinateProperties")
    times = properties.get("coordTimes", inner.get("times") if isinstance(inner, Mapping) else None)
    return [str(time) for time in times] if isinstance(times, list) else []
