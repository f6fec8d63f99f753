"""Read sectors from files: GeoJSON, KML or KMZ; the content tells the format."""

from __future__ import annotations

from pathlib import Path

from ...domain.values.sectors import SectorBoundary
from ...domain.values.shapes import MultiPolygon, Polygon
from ...domain.values.tile_grid import Bbox
from .errors import InputFileError
from .geojson import NOTHING_CHANGED, GeoJsonError, SectorFile, parse_sectors, parse_shapes
from .routes.kml_sectors import read_kml_sectors
from .routes.read_drawing import is_markup, parse_markup, read_content


def read_sectors(*paths: Path) -> SectorFile:
    """Read every sector of the files. Raises `InputFileError`, or `OSError` when a file can't be read."""
    sectors: dict[str, SectorBoundary] = {}
    without_geometry: list[str] = []
    for path in paths:
        found = _read_file(path)
        for sector in found.sectors:
            if sector.sector_id in sectors:
                raise InputFileError(
                    f"{path}: sector_id {sector.sector_id!r} is already that of a sector in another file",
                    remedy="give each sector its own; no sector was changed",
                )
            sectors[sector.sector_id] = sector
        without_geometry += found.without_geometry
    return SectorFile(tuple(sectors.values()), tuple(without_geometry))


def read_shapes(path: Path) -> list[Bbox | Polygon | MultiPolygon]:
    """The shape of every feature of a GeoJSON file. Raises `InputFileError`, `OSError`."""
    try:
        return parse_shapes(read_content(path).decode("utf-8-sig"))
    except (UnicodeDecodeError, GeoJsonError) as error:
        raise InputFileError(f"{path} is not GeoJSON with shapes: {error}") from error


def _read_file(path: Path) -> SectorFile:
    content = read_content(path)
    try:
        if is_markup(content):
            return read_kml_sectors(parse_markup(content))
        return parse_sectors(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputFileError(
            f"{path} is not GeoJSON: it is not UTF-8 text", remedy=NOTHING_CHANGED
        ) from error
    except GeoJsonError as error:
        raise InputFileError(f"{path}: {error}", remedy=error.remedy or NOTHING_CHANGED) from error
    except ValueError as error:
        raise InputFileError(f"{path}: {error}", remedy=NOTHING_CHANGED) from error
