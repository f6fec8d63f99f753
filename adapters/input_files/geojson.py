"""Read sectors from GeoJSON (RFC 7946), strictly.

A FeatureCollection of Polygons and MultiPolygons with the property `classification`, named by the property
`sector_id` or by the feature's own `id`. A sector has the shape of its feature, holes included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from ...domain.values.sectors import MAX_SECTOR_ID_LENGTH, SectorBoundary, SectorClassification
from ...domain.values.shapes import MultiPolygon, Polygon
from ...domain.values.tile_grid import Bbox
from ..geojson_shapes import kind_of, read_shape
from ..strict_json import parse_json
from .errors import InputFileError

NOTHING_CHANGED = "correct the file; no sector was changed"
_WGS84_NAMES = re.compile(
    r"(urn:ogc:def:crs:)?(OGC:[\w.]*:CRS84h?|EPSG:([\w.]*:)?(4326|4979))|CRS:?84|http://\S*/(CRS84h?|4326|4979)",
    re.IGNORECASE,
)
"""WGS 84, with heights too: GDAL names EPSG:4979 beside positions of three numbers."""


class GeoJsonError(InputFileError):
    """The text does not hold sectors; the message names the feature, counted from 1."""

    def __init__(self, message: str, *, remedy: str = NOTHING_CHANGED) -> None:
        super().__init__(message, remedy=remedy)


@attrs.frozen
class SectorFile:
    """The sectors of one file or of several."""

    sectors: tuple[SectorBoundary, ...]
    without_geometry: tuple[str, ...]
    """Features that have no geometry (null) and are left out: their ids, or where they are in the file."""


def parse_sectors(text: str) -> SectorFile:
    """Read every sector of a GeoJSON text. Raises `GeoJsonError`."""
    document = _parsed(text)
    try:
        return _read_sectors(document)
    except RecursionError as error:  # a value that could be read may be too deep to be shown in a message
        raise GeoJsonError("it is nested too deeply") from error


def _read_sectors(document: Any) -> SectorFile:
    sectors: list[SectorBoundary] = []
    without_geometry: list[str] = []
    first_use: dict[str, int] = {}
    for number, feature in enumerate(_features(document), 1):
        try:
            sector_id = _sector_id(feature)
            if feature.get("geometry") is None:
                without_geometry.append(f"feature {number}" if sector_id is None else sector_id)
                continue
            sector = _sector(feature, sector_id)
            if sector.sector_id in first_use:
                raise GeoJsonError(
                    f"sector_id {sector.sector_id!r} is already that of feature {first_use[sector.sector_id]}"
                )
            first_use[sector.sector_id] = number
            sectors.append(sector)
        except (GeoJsonError, ValueError) as error:
            raise GeoJsonError(f"feature {number}: {error}") from error
    if not sectors:
        raise GeoJsonError(f"none of its {len(without_geometry)} features has a geometry")
    return SectorFile(tuple(sectors), tuple(without_geometry))


def parse_shapes(text: str) -> list[Bbox | Polygon | MultiPolygon]:
    """Read the shape of every feature of a GeoJSON text. Raises `GeoJsonError`."""
    shapes = []
    for number, feature in enumerate(_features(_parsed(text)), 1):
        try:
            if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
                raise GeoJsonError(f"not a Feature but {kind_of(feature)!r}")
            shapes.append(read_shape(feature.get("geometry")))
        except (GeoJsonError, ValueError) as error:
            raise GeoJsonError(f"feature {number}: {error}") from error
    return shapes


def _parsed(text: str) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        raise GeoJsonError(f"not JSON: {error}") from error


def check_geojson(document: Any) -> None:
    """Raise `GeoJsonError` for JSON of another kind, and for a crs that is not WGS 84."""
    if not isinstance(document, Mapping):
        raise GeoJsonError(f"not a FeatureCollection but {kind_of(document)!r}")
    other = _other_format(document)
    if other is not None:
        raise GeoJsonError(f"not GeoJSON but {other}", remedy="export its areas as GeoJSON")
    _check_wgs84(document)
    features = document.get("features")
    for number, feature in enumerate(features if isinstance(features, list) else [document], 1):
        try:
            _check_wgs84(feature)
            _check_wgs84(feature.get("geometry") if isinstance(feature, Mapping) else None)
        except GeoJsonError as error:
            raise GeoJsonError(
                f"feature {number}: {error}", remedy=error.remedy or NOTHING_CHANGED
            ) from error


def _check_wgs84(value: Any) -> None:
    """Raise `GeoJsonError` where an object names another crs than WGS 84, as the GeoJSON of 2008 allows."""
    crs = value.get("crs") if isinstance(value, Mapping) else None
    properties = crs.get("properties") if isinstance(crs, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    if crs is not None and not (isinstance(name, str) and _WGS84_NAMES.fullmatch(name)):
        raise GeoJsonError("its crs is not WGS 84 (EPSG:4326)", remedy="export it in WGS 84")


def _features(document: Any) -> list[Any]:
    check_geojson(document)
    if document.get("type") != "FeatureCollection":
        raise GeoJsonError(f"not a FeatureCollection but {document.get('type')!r}")
    features = document.get("features")
    if not isinstance(features, list) or not features:
        raise GeoJsonError("it has no features")
    return features


def _other_format(document: Mapping[str, Any]) -> str | None:
    """What other programs of the field write as JSON, by name."""
    if document.get("fileType") == "Plan" or "geoFence" in document:
        return "a plan of QGroundControl"
    features = document.get("features")
    first = features[0] if isinstance(features, list) and features else None
    of_first = first if isinstance(first, Mapping) else {}
    geometry = of_first.get("geometry")
    volumes = [part for part in geometry if isinstance(part, Mapping)] if isinstance(geometry, list) else []
    if any("horizontalProjection" in volume for volume in volumes):
        return "UAS geographical zones in the format ED-269"
    is_rings = isinstance(geometry, Mapping) and "type" not in geometry and "rings" in geometry
    if str(document.get("geometryType")).startswith("esriGeometry") or "attributes" in of_first or is_rings:
        return "Esri JSON"
    if document.get("type") == "Topology":
        return "TopoJSON"
    return None


def _sector_id(feature: Any) -> str | None:
    """The property `sector_id`, or else the feature's own `id`; None where it has neither."""
    if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
        raise GeoJsonError(f"not a Feature but {kind_of(feature)!r}")
    properties = feature.get("properties")
    name: str = "sector_id"
    value: Any = properties.get(name) if isinstance(properties, Mapping) else None
    if value is None:
        name = "id"
        value = feature.get(name)
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1:
        value = str(int(value))
    return check_sector_id(value, name)


def check_sector_id(value: Any, name: str) -> str:
    """The value of the member `name` as the id of a sector. Raises `GeoJsonError`."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise GeoJsonError(f"{name} must be a printable, non-empty text or a whole number, got {value!r}")
    if len(value) > MAX_SECTOR_ID_LENGTH:
        raise GeoJsonError(f"{name} is longer than {MAX_SECTOR_ID_LENGTH} characters")
    return value


def _sector(feature: Mapping[str, Any], sector_id: str | None) -> SectorBoundary:
    properties = feature.get("properties")
    if not isinstance(properties, Mapping):
        raise GeoJsonError("it has no properties; sector_id and classification are needed")
    if sector_id is None:
        raise GeoJsonError("it has no sector_id among its properties, and no id")
    return SectorBoundary(sector_id, read_classification(properties), read_shape(feature.get("geometry")))


def read_classification(properties: Mapping[str, Any]) -> SectorClassification:
    """The property `classification`. Raises `GeoJsonError`."""
    value = properties.get("classification")
    known = [kind.value for kind in SectorClassification]
    if value not in known:
        raise GeoJsonError(f"classification must be one of {', '.join(known)}, got {value!r}")
    return SectorClassification(value)
