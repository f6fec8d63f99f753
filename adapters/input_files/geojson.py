"""Read sectors from GeoJSON (RFC 7946), strictly.

A FeatureCollection of Polygons and MultiPolygons with the properties `sector_id` and `classification`. A
sector is a box: each polygon becomes its bounding box, and the result names each polygon that was no box. A
MultiPolygon becomes one sector per polygon, `sector_id/1`, `sector_id/2` and so on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs

from ...domain.values.sectors import SectorBoundary, SectorClassification
from ...domain.values.tile_grid import Bbox
from ..files.regular_file import read_one_more
from ..strict_json import parse_json
from .errors import InputFileError

MAX_FILE_BYTES = 64 << 20
MAX_ID_LENGTH = 200
_WGS84_NAMES = ("CRS84", "EPSG:4326", "EPSG::4326")

Position = tuple[float, float]
"""Longitude and latitude in degrees, in GeoJSON's order."""


class GeoJsonError(InputFileError):
    """The file does not hold sectors; the message names the file and the feature, counted from 1."""

    def __init__(self, message: str, *, remedy: str = "correct the file; no sector was changed") -> None:
        super().__init__(message, remedy=remedy)


@attrs.frozen
class SectorFile:
    """The sectors of one file or of several."""

    sectors: tuple[SectorBoundary, ...]
    widened: tuple[str, ...]
    """Ids of sectors whose polygon was no box; the sector covers more than the polygon."""


def read_sectors(*paths: Path) -> SectorFile:
    """Read every sector of the files. Raises `GeoJsonError`, or `OSError` when a file can't be read."""
    sectors: dict[str, SectorBoundary] = {}
    widened: list[str] = []
    for path in paths:
        found = _read_file(path)
        for sector in found.sectors:
            if sector.sector_id in sectors:
                raise GeoJsonError(
                    f"{path}: sector_id {sector.sector_id!r} is already that of a sector in another file",
                    remedy="give each sector its own; no sector was changed",
                )
            sectors[sector.sector_id] = sector
        widened += found.widened
    return SectorFile(tuple(sectors.values()), tuple(widened))


def _read_file(path: Path) -> SectorFile:
    with path.open("rb") as stream:
        content = read_one_more(stream, MAX_FILE_BYTES)
    if len(content) > MAX_FILE_BYTES:
        raise GeoJsonError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return parse_sectors(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise GeoJsonError(f"{path} is not GeoJSON: it is not UTF-8 text") from error
    except GeoJsonError as error:
        raise GeoJsonError(f"{path}: {error}") from error


def parse_sectors(text: str) -> SectorFile:
    """Read every sector of a GeoJSON text. Raises `GeoJsonError`."""
    try:
        document = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise GeoJsonError(f"not JSON: {error}") from error
    try:
        return _read_sectors(document)
    except RecursionError as error:  # a value that could be read may be too deep to be shown in a message
        raise GeoJsonError("it is nested too deeply") from error


def _read_sectors(document: Any) -> SectorFile:
    sectors: list[SectorBoundary] = []
    widened: list[str] = []
    first_use: dict[str, int] = {}
    for number, feature in enumerate(_features(document), 1):
        try:
            for sector, is_box in _read_feature(feature):
                if sector.sector_id in first_use:
                    raise GeoJsonError(
                        f"sector_id {sector.sector_id!r} is already that of "
                        f"feature {first_use[sector.sector_id]}"
                    )
                first_use[sector.sector_id] = number
                sectors.append(sector)
                if not is_box:
                    widened.append(sector.sector_id)
        except GeoJsonError as error:
            raise GeoJsonError(f"feature {number}: {error}") from error
    return SectorFile(tuple(sectors), tuple(widened))


def _features(document: Any) -> list[Any]:
    if not isinstance(document, Mapping) or document.get("type") != "FeatureCollection":
        kind = document.get("type") if isinstance(document, Mapping) else _kind_of(document)
        raise GeoJsonError(f"not a FeatureCollection but {kind!r}")
    crs = document.get("crs")
    if crs is not None and not any(name in json.dumps(crs) for name in _WGS84_NAMES):
        raise GeoJsonError("its crs is not WGS 84 (EPSG:4326)")
    features = document.get("features")
    if not isinstance(features, list) or not features:
        raise GeoJsonError("it has no features")
    return features


def _read_feature(feature: Any) -> list[tuple[SectorBoundary, bool]]:
    """The feature's sectors, each with whether its polygon is exactly its box."""
    if not isinstance(feature, Mapping) or feature.get("type") != "Feature":
        raise GeoJsonError(f"not a Feature but {_kind_of(feature)!r}")
    properties = feature.get("properties")
    if not isinstance(properties, Mapping):
        raise GeoJsonError("it has no properties; sector_id and classification are needed")
    sector_id = _sector_id(properties)
    classification = _classification(properties)
    polygons = _polygons(feature.get("geometry"))
    named = [sector_id] if len(polygons) == 1 else [f"{sector_id}/{n}" for n in range(1, len(polygons) + 1)]
    sectors = []
    for name, polygon in zip(named, polygons, strict=True):
        bbox, is_box = _bounding_box(polygon)
        sectors.append((SectorBoundary(name, classification, bbox), is_box))
    return sectors


def _sector_id(properties: Mapping[str, Any]) -> str:
    value = properties.get("sector_id")
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise GeoJsonError(f"sector_id must be a printable, non-empty text, got {value!r}")
    if len(value) > MAX_ID_LENGTH:
        raise GeoJsonError(f"sector_id is longer than {MAX_ID_LENGTH} characters")
    return value


def _classification(properties: Mapping[str, Any]) -> SectorClassification:
    value = properties.get("classification")
    known = [kind.value for kind in SectorClassification]
    if value not in known:
        raise GeoJsonError(f"classification must be one of {', '.join(known)}, got {value!r}")
    return SectorClassification(value)


def _polygons(geometry: Any) -> list[Any]:
    kind = geometry.get("type") if isinstance(geometry, Mapping) else _kind_of(geometry)
    if kind not in ("Polygon", "MultiPolygon"):
        raise GeoJsonError(f"its geometry must be a Polygon or MultiPolygon, got {kind!r}")
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not polygons:
        raise GeoJsonError(f"its {kind} has no coordinates")
    return polygons


def _bounding_box(polygon: Any) -> tuple[Bbox, bool]:
    if not isinstance(polygon, list) or not polygon:
        raise GeoJsonError("a polygon must be a non-empty list of rings")
    rings = [_ring(ring) for ring in polygon]
    outer = rings[0]
    lons, lats = [lon for lon, _ in outer], [lat for _, lat in outer]
    bbox = Bbox(min(lats), min(lons), max(lats), max(lons))
    if bbox.min_lat == bbox.max_lat or bbox.min_lon == bbox.max_lon:
        raise GeoJsonError("a polygon has no area")
    return bbox, len(rings) == 1 and _is_box(outer, bbox)


def _ring(ring: Any) -> list[Position]:
    if not isinstance(ring, list) or len(ring) < 4:
        raise GeoJsonError("a ring must be a list of four or more positions")
    positions = [_position(position) for position in ring]
    if positions[0] != positions[-1]:
        raise GeoJsonError("a ring must end where it begins")
    for (lon, _), (next_lon, _) in pairwise(positions):
        # An edge of 360 degrees (-180 to 180) belongs to a box around the world.
        if 180 < abs(next_lon - lon) < 360:
            raise GeoJsonError(
                "an edge is longer than 180 degrees; cut a polygon that crosses the antimeridian in two "
                "there (RFC 7946, 3.1.9), give a longer edge more points"
            )
    return positions


def _position(position: Any) -> Position:
    if not isinstance(position, list) or not 2 <= len(position) <= 4:
        raise GeoJsonError(f"a position must be [longitude, latitude], got {_shortened(position)}")
    lon, lat = position[0], position[1]
    for value in (lon, lat):
        # A comparison, because `isfinite` can't take an integer that no float holds.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < math.inf:
            raise GeoJsonError(f"a position must hold numbers, got {_shortened(position)}")
    if not -180 <= lon <= 180:
        raise GeoJsonError(
            f"longitude {_shortened(lon)} is not within -180..180; "
            "cut polygons that cross the antimeridian in two"
        )
    if not -90 <= lat <= 90:
        raise GeoJsonError(f"latitude {lat} is not within -90..90; positions are [longitude, latitude]")
    return float(lon), float(lat)


def _is_box(ring: list[Position], bbox: Bbox) -> bool:
    """Whether the ring runs along the edge of the box only, and around all of it."""
    along_edge = all(
        (lon == next_lon and lon in (bbox.min_lon, bbox.max_lon))
        or (lat == next_lat and lat in (bbox.min_lat, bbox.max_lat))
        for (lon, lat), (next_lon, next_lat) in pairwise(ring)
    )
    corners = {(lon, lat) for lon in (bbox.min_lon, bbox.max_lon) for lat in (bbox.min_lat, bbox.max_lat)}
    return along_edge and corners <= set(ring)


def _kind_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("type"))[:40]
    return {list: "a list", str: "a text", type(None): "nothing"}.get(type(value), type(value).__name__)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
