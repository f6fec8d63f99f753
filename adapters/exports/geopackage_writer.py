"""`GeopackageWriter`: a GeoPackage of one table of tiles (OGC 12-128r18, version 1.3)."""

from __future__ import annotations

import math

from ...domain.ports.imagery_source import TilePlace
from ...domain.ports.tile_archive import ArchiveFacts
from .sqlite_writer import SqliteWriter

_HALF_WORLD_M = 20_037_508.342789244
_UNDEFINED = "undefined"
_WGS_84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],'
    'AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",'
    '0.0174532925199433,AUTHORITY["EPSG","9122"]],AUTHORITY["EPSG","4326"]]'
)
_WEB_MERCATOR = (
    f'PROJCS["WGS 84 / Pseudo-Mercator",{_WGS_84},PROJECTION["Mercator_1SP"],PARAMETER["central_meridian",0],'
    'PARAMETER["scale_factor",1],PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1,'
    'AUTHORITY["EPSG","9001"]],AXIS["X",EAST],AXIS["Y",NORTH],EXTENSION["PROJ4","+proj=merc +a=6378137 '
    '+b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 +units=m +nadgrids=@null +wktext +no_defs"],'
    'AUTHORITY["EPSG","3857"]]'
)
_SCHEMA = """
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL, organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL,
    description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL,
    identifier TEXT UNIQUE, description TEXT DEFAULT '',
    last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE,
    srs_id INTEGER REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_tile_matrix_set (table_name TEXT NOT NULL PRIMARY KEY REFERENCES gpkg_contents(table_name),
    srs_id INTEGER NOT NULL REFERENCES gpkg_spatial_ref_sys(srs_id), min_x DOUBLE NOT NULL,
    min_y DOUBLE NOT NULL, max_x DOUBLE NOT NULL, max_y DOUBLE NOT NULL);
CREATE TABLE gpkg_tile_matrix (table_name TEXT NOT NULL REFERENCES gpkg_contents(table_name),
    zoom_level INTEGER NOT NULL, matrix_width INTEGER NOT NULL, matrix_height INTEGER NOT NULL,
    tile_width INTEGER NOT NULL, tile_height INTEGER NOT NULL, pixel_x_size DOUBLE NOT NULL,
    pixel_y_size DOUBLE NOT NULL, PRIMARY KEY (table_name, zoom_level));
CREATE TABLE tiles (id INTEGER PRIMARY KEY AUTOINCREMENT, zoom_level INTEGER NOT NULL,
    tile_column INTEGER NOT NULL, tile_row INTEGER NOT NULL, tile_data BLOB NOT NULL,
    UNIQUE (zoom_level, tile_column, tile_row));
"""
_SYSTEMS = (
    ("Undefined cartesian SRS", -1, "NONE", -1, _UNDEFINED),
    ("Undefined geographic SRS", 0, "NONE", 0, _UNDEFINED),
    ("WGS 84 geodetic", 4326, "EPSG", 4326, _WGS_84),
    ("WGS 84 / Pseudo-Mercator", 3857, "EPSG", 3857, _WEB_MERCATOR),
)


class GeopackageWriter(SqliteWriter):
    """See `TileArchiveWriter`. The table is `tiles`, on the grid of the whole world."""

    def _begin(self) -> None:
        self._database.execute("PRAGMA application_id = 0x47504b47")
        self._database.execute("PRAGMA user_version = 10300")
        for statement in filter(str.strip, _SCHEMA.split(";")):
            self._database.execute(statement)
        self._database.executemany(
            "INSERT INTO gpkg_spatial_ref_sys (srs_name, srs_id, organization, organization_coordsys_id, "
            "definition) VALUES (?, ?, ?, ?, ?)",
            _SYSTEMS,
        )

    def _insert(self, place: TilePlace, pixels: bytes) -> None:
        self._database.execute(
            "INSERT INTO tiles (zoom_level, tile_column, tile_row, tile_data) VALUES (?, ?, ?, ?)",
            (*place, pixels),
        )

    def _describe(self, facts: ArchiveFacts) -> None:
        box = facts.bounds
        (min_x, min_y), (max_x, max_y) = (
            (_HALF_WORLD_M * lon / 180, _HALF_WORLD_M * math.asinh(math.tan(math.radians(lat))) / math.pi)
            for lat, lon in ((box.min_lat, box.min_lon), (box.max_lat, box.max_lon))
        )
        self._database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, min_x, min_y, max_x, "
            "max_y, srs_id) VALUES ('tiles', 'tiles', ?, 'exported by Aerotile', ?, ?, ?, ?, 3857)",
            (facts.name, min_x, min_y, max_x, max_y),
        )
        self._database.execute(
            "INSERT INTO gpkg_tile_matrix_set VALUES ('tiles', 3857, ?, ?, ?, ?)",
            (-_HALF_WORLD_M, -_HALF_WORLD_M, _HALF_WORLD_M, _HALF_WORLD_M),
        )
        for zoom in facts.zooms:
            pixel = 2 * _HALF_WORLD_M / (facts.tile_size_pixels << zoom)
            size = facts.tile_size_pixels
            self._database.execute(
                "INSERT INTO gpkg_tile_matrix VALUES ('tiles', ?, ?, ?, ?, ?, ?, ?)",
                (zoom, 1 << zoom, 1 << zoom, size, size, pixel, pixel),
            )
