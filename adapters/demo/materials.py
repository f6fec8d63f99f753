"""What the demo's operator holds before the work begins: a raster, an area, a route, sectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...domain.errors import RuntimeNotAvailableError, StoreUnavailableError
from ...domain.values.tile_grid import Bbox
from ..files.atomic_file import atomic_file
from .imagery import BlueMarble
from .mission import Mission, Position

RASTER, AREA, ROUTE, SECTORS = "blue-marble.tif", "area.geojson", "route.geojson", "sectors.geojson"


def write_materials(folder: Path, mission: Mission, imagery: BlueMarble) -> None:
    """Write the four files. Raises `StoreUnavailableError`, `RuntimeNotAvailableError` without rasterio."""
    drawings = {
        AREA: [_feature(_polygon(mission.area, [mission.hole]), name="what was ordered")],
        ROUTE: [
            _feature({"type": "LineString", "coordinates": _points(mission.waypoints)}, name=mission.name)
        ],
        SECTORS: [
            _feature(
                _polygon(sector.bbox),
                sector_id=sector.sector_id,
                classification=sector.classification.value,
            )
            for sector in mission.sectors
        ],
    }
    try:
        for name, features in drawings.items():
            text = json.dumps({"type": "FeatureCollection", "features": features}, indent=1)
            with atomic_file(folder / name, 0o644, durable=False) as file:
                file.write(text.encode())
        with atomic_file(folder / RASTER, 0o644, durable=False) as file:
            file.write(_geotiff(imagery))
    except OSError as error:
        raise StoreUnavailableError(
            f"the demo's files can't be written to {folder}: {error}",
            remedy="make room or name another folder",
        ) from error


def _feature(geometry: dict[str, Any], **properties: str) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _points(positions: Sequence[Position]) -> list[list[float]]:
    return [[lon, lat] for lat, lon in positions]


def _polygon(box: Bbox, holes: Sequence[Bbox] = ()) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [_ring(box), *map(_ring, holes)]}


def _ring(box: Bbox) -> list[list[float]]:
    """Counter-clockwise."""
    west, south, east, north = box.min_lon, box.min_lat, box.max_lon, box.max_lat
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _geotiff(imagery: BlueMarble) -> bytes:
    """The whole raster in longitude and latitude, without loss."""
    try:
        from rasterio.io import MemoryFile
        from rasterio.transform import from_bounds
    except ImportError as error:
        raise RuntimeNotAvailableError(
            "the demo needs rasterio, which is not installed", remedy="pip install aerotile[demo]"
        ) from error
    height, width, bands = imagery.raster.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=width,
            height=height,
            count=bands,
            dtype="uint8",
            crs="EPSG:4326",
            transform=from_bounds(-180.0, -90.0, 180.0, 90.0, width, height),
            photometric="RGB",
            tiled=True,
            compress="deflate",
            zlevel=1,
            predictor=2,
        ) as file:
            file.write(imagery.raster.transpose(2, 0, 1))
        content: bytes = memory.read()
    return content
