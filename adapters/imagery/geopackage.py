"""`GeopackageArchive`: the tiles of one table of a GeoPackage (OGC 12-128r19), on the Web-Mercator grid."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ...domain.errors import ImagerySourceError
from ...domain.ports.imagery_source import ImageryFacts
from ...domain.values.tile_grid import MAX_ZOOM
from .checked_database import CheckedDatabase, quoted
from .sqlite_tiles import Level, SqliteArchive, SqliteTiles

_HALF_WORLD_M = 20_037_508.342789244
_MERCATOR = frozenset({3857, 3785, 900913})
_TABLES = """
SELECT gpkg_contents.table_name, gpkg_contents.identifier, gpkg_tile_matrix_set.min_x,
    gpkg_tile_matrix_set.max_y, gpkg_spatial_ref_sys.organization,
    gpkg_spatial_ref_sys.organization_coordsys_id, gpkg_spatial_ref_sys.srs_name
FROM gpkg_contents
JOIN gpkg_tile_matrix_set ON gpkg_tile_matrix_set.table_name = gpkg_contents.table_name
LEFT JOIN gpkg_spatial_ref_sys ON gpkg_spatial_ref_sys.srs_id = gpkg_tile_matrix_set.srs_id
WHERE gpkg_contents.data_type = 'tiles' ORDER BY gpkg_contents.table_name
"""
_MATRICES = """
SELECT zoom_level, tile_width, tile_height, pixel_x_size, pixel_y_size FROM gpkg_tile_matrix
WHERE table_name = ? ORDER BY zoom_level
"""
_OFF_GRID_PIXELS = 0.01
"""By how much of a pixel a table's tiles may lie beside those of the grid."""


class GeopackageArchive(SqliteArchive):
    """See `TileArchive`. A file of several tables is named `FILE.gpkg#TABLE`."""

    def __init__(self, path: Path, *, table: str | None = None) -> None:
        """Raises `ImagerySourceError`, also for a table on another grid or projection."""
        self.name = str(path) if table is None else f"{path}#{table}"
        self._database = CheckedDatabase(path)
        try:
            needed = {"gpkg_contents", "gpkg_tile_matrix_set", "gpkg_tile_matrix", "gpkg_spatial_ref_sys"}
            if not needed <= self._database.names():
                raise ImagerySourceError(f"{path} is a GeoPackage without tables of tiles")
            chosen = self._chosen(table)
            levels = self._levels(*chosen[:1], *chosen[2:4])
            self._tiles = SqliteTiles(self._database, quoted(chosen[0]), self.name, levels.get)
        except BaseException:
            self._database.close()
            raise
        self.extents = self._tiles.extents
        left_out = {"tile beyond zoom 22": self._tiles.off_zooms} if self._tiles.off_zooms else {}
        self.facts = ImageryFacts(kind="GeoPackage", name=chosen[1], left_out=left_out)

    def _chosen(self, table: str | None) -> tuple[str, str | None, float, float]:
        rows = self._database.rows(_TABLES)
        names = [str(row[0]) for row in rows]
        if table is None and len(rows) > 1:
            raise ImagerySourceError(
                f"{self.name} holds {len(rows)} tables of tiles: {', '.join(names)}",
                remedy=f"name one: {self.name}#{names[0]}",
            )
        found = [row for row in rows if table in (None, row[0])]
        if not found:
            raise ImagerySourceError(
                f"{self.name} holds no such table of tiles", remedy=f"it has {', '.join(names) or 'none'}"
            )
        name, identifier, min_x, max_y, organization, code, projection = found[0]
        if str(organization).upper() != "EPSG" or code not in _MERCATOR:
            raise ImagerySourceError(
                f"the tiles of {self.name} are in {projection or code}, not in Web Mercator (EPSG:3857)",
                remedy="gdal_translate -of GPKG -co TILING_SCHEME=GoogleMapsCompatible cuts them anew",
            )
        if not (isinstance(name, str) and _is_length(min_x) and _is_length(max_y)):
            raise ImagerySourceError(f"{self.name} has no corner in gpkg_tile_matrix_set")
        return name, None if identifier is None else str(identifier), float(min_x), float(max_y)

    def _levels(self, name: str, min_x: float, max_y: float) -> dict[int, Level]:
        levels: dict[int, Level] = {}
        for table_zoom, width, height, x_size, y_size in self._database.rows(_MATRICES, (name,)):
            numbers = (width, height, x_size, y_size)
            if type(table_zoom) is not int or not all(_is_length(n) and n > 0 for n in numbers):
                raise ImagerySourceError(f"{self.name} has impossible numbers in gpkg_tile_matrix")
            across, down = width * x_size, height * y_size
            zoom = round(math.log2(2 * _HALF_WORLD_M / across)) if 1e-3 < across < 1e9 else -1
            step = 2 * _HALF_WORLD_M / 2.0**zoom
            tolerance = _OFF_GRID_PIXELS / max(width, height)
            x, y = (min_x + _HALF_WORLD_M) / step, (_HALF_WORLD_M - max_y) / step
            off = max(abs(x - round(x)), abs(y - round(y)))
            # A wrong pixel size adds up over the world's tiles.
            off = max(off, abs(across / step - 1) * 2.0**zoom, abs(down / step - 1) * 2.0**zoom)
            if not 0 <= zoom <= MAX_ZOOM or not off <= tolerance:
                raise ImagerySourceError(
                    f"the tiles of {self.name} at zoom {table_zoom} lie on a grid of their own",
                    remedy="gdal_translate -of GPKG -co TILING_SCHEME=GoogleMapsCompatible cuts them anew",
                )
            levels[table_zoom] = Level(table_zoom, zoom, first_x=round(x), first_y=round(y))
        if len({level.zoom_level for level in levels.values()}) != len(levels):
            raise ImagerySourceError(f"{self.name} has two tables of the same zoom in gpkg_tile_matrix")
        return levels


def _is_length(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e12
