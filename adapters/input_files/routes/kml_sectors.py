"""Read sectors from placemarks of KML: `sector_id` and `classification` are in their `ExtendedData`."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ....domain.values.sectors import SectorBoundary
from ....domain.values.shapes import MultiPolygon, Polygon, corners_of, parts_of
from ....domain.values.tile_grid import Bbox
from ...safe_xml import local_name
from ..geojson import GeoJsonError, SectorFile, check_sector_id, read_classification
from .drawing import Drawing, DrawingBuilder, GroundShape
from .kml import Placemark, read_placemarks


def read_kml_sectors(root: Element) -> SectorFile:
    """Every placemark with its polygons as one sector. Raises `ValueError`.

    Without `sector_id` the attribute `id` of a placemark counts, or else its name.
    """
    if local_name(root) not in ("kml", "Document", "Folder", "Placemark"):
        raise ValueError(f"it is no KML but XML with the root {local_name(root)[:40]!r}")
    sectors: dict[str, SectorBoundary] = {}
    without_geometry: list[str] = []
    beside = DrawingBuilder()
    for number, placemark in enumerate(read_placemarks(root, beside), 1):
        try:
            sector_id = _sector_id(placemark)
            if placemark.geometry == Drawing(left_out={"placemark without geometry": 1}):
                without_geometry.append(sector_id)
                continue
            if sector_id in sectors:
                raise ValueError(f"sector_id {sector_id!r} is already that of another placemark")
            sectors[sector_id] = SectorBoundary(
                sector_id, read_classification(placemark.data), _shape(placemark.geometry)
            )
        except (GeoJsonError, ValueError) as error:
            raise ValueError(f"placemark {number}: {error}") from error
    without_geometry += [f"{kind} ({count})" for kind, count in beside.left_out.items()]
    if not sectors:
        raise ValueError("it has no placemark with polygons")
    return SectorFile(tuple(sectors.values()), tuple(without_geometry))


def _sector_id(placemark: Placemark) -> str:
    for name, value in (
        ("sector_id", placemark.data.get("sector_id")),
        ("id", placemark.id),
        ("name", placemark.name),
    ):
        if value:
            return check_sector_id(value, name)
    raise ValueError("it has no sector_id, no id and no name")


def _shape(geometry: Drawing) -> GroundShape:
    others = {
        "line": len(geometry.routes),
        "single place": len(geometry.places),
        **geometry.left_out,
    }
    wrong = [kind for kind, number in others.items() if number]
    if wrong or not geometry.shapes:
        raise ValueError(f"its geometry must be polygons, got {wrong[0] if wrong else 'nothing'!r}")
    if len(geometry.shapes) == 1:
        return geometry.shapes[0]
    parts: list[Bbox | Polygon] = [part for shape in geometry.shapes for part in parts_of(shape)]
    return MultiPolygon([Polygon([corners_of(part)]) if isinstance(part, Bbox) else part for part in parts])
