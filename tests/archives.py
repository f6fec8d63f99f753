"""Archives of map tiles as other programs write them, for tests of what can be brought in."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from PIL import Image
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

Place = tuple[int, int, int]
"""Zoom, column, row from the north."""


def picture(shade: int = 0, kind: str = "JPEG", size: int = 256, *, opaque: float = 1.0) -> bytes:
    """A picture with two halves of its own colours, whose lower rows are transparent below `opaque`."""
    pixels = np.full((size, size, 3), (shade % 256, shade // 256 % 256, 77), np.uint8)
    pixels[:, size // 2 :] = (200, 30, (shade * 7) % 256)
    image = Image.fromarray(pixels)
    if opaque < 1.0:
        image = image.convert("RGBA")
        image.paste((0, 0, 0, 0), (0, round(size * opaque), size, size))
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return stream.getvalue()


FOUR: dict[Place, bytes] = {(12, 2177 + x, 1420 + y): picture(10 * x + y) for x in (0, 1) for y in (0, 1)}
"""A square of four tiles, each with a picture of its own."""


def write_mbtiles(
    path: Path,
    tiles: Mapping[Place, bytes],
    metadata: Mapping[str, str] | None = None,
    *,
    from_north: bool = False,
    deduplicated: bool = False,
) -> Path:
    """An MBTiles file; `deduplicated` keeps pictures in `images`, and `tiles` is a view."""
    with sqlite3.connect(path) as database:
        if metadata is not None:
            database.execute("CREATE TABLE metadata (name text, value text)")
            database.executemany("INSERT INTO metadata VALUES (?, ?)", metadata.items())
        columns = "zoom_level integer, tile_column integer, tile_row integer"
        rows = [
            (z, x, y if from_north else (1 << z) - 1 - y, content) for (z, x, y), content in tiles.items()
        ]
        if deduplicated:
            database.execute(f"CREATE TABLE map ({columns}, tile_id text)")
            database.execute("CREATE TABLE images (tile_id text PRIMARY KEY, tile_data blob)")
            database.execute(
                "CREATE VIEW tiles AS SELECT zoom_level, tile_column, tile_row, tile_data "
                "FROM map JOIN images ON images.tile_id = map.tile_id"
            )
            database.executemany(
                "INSERT INTO map VALUES (?, ?, ?, ?)", [(*row[:3], str(hash(row[3]))) for row in rows]
            )
            database.executemany(
                "INSERT OR IGNORE INTO images VALUES (?, ?)", [(str(hash(row[3])), row[3]) for row in rows]
            )
        else:
            database.execute(f"CREATE TABLE tiles ({columns}, tile_data blob)")
            database.execute("CREATE UNIQUE INDEX tile ON tiles (zoom_level, tile_column, tile_row)")
            database.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
    database.close()
    return path


def write_pmtiles(path: Path, tiles: Mapping[Place, bytes], kind: TileType = TileType.JPEG) -> Path:
    """A PMTiles file by the package pmtiles."""
    ids = {zxy_to_tileid(*place): content for place, content in tiles.items()}
    with path.open("wb") as file:
        writer = Writer(file)
        for tile_id in sorted(ids):
            writer.write_tile(tile_id, ids[tile_id])
        zooms = [place[0] for place in tiles]
        header = {
            "tile_type": kind,
            "tile_compression": Compression.NONE,
            "min_zoom": min(zooms),
            "max_zoom": max(zooms),
            "min_lon_e7": -1_800_000_000,
            "min_lat_e7": -850_000_000,
            "max_lon_e7": 1_800_000_000,
            "max_lat_e7": 850_000_000,
            "center_zoom": 0,
            "center_lon_e7": 0,
            "center_lat_e7": 0,
        }
        writer.finalize(header, {"name": "of a test"})
    return path


def write_folder(path: Path, tiles: Mapping[Place, bytes], ending: str = "jpg") -> Path:
    """A folder zoom/x/y."""
    for (z, x, y), content in tiles.items():
        (path / f"{z}/{x}").mkdir(parents=True, exist_ok=True)
        (path / f"{z}/{x}/{y}.{ending}").write_bytes(content)
    return path


def write_raster(path: Path, pixels: int = 700) -> Path:
    """A GeoTIFF in degrees, of a slope in every colour."""
    rows, columns = np.mgrid[0:pixels, 0:pixels]
    planes = np.stack([rows, columns, rows + columns]) * 200 // (2 * pixels) + 20
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=pixels,
        height=pixels,
        count=3,
        dtype="uint8",
        crs="EPSG:4326",
        transform=Affine(0.10 / pixels, 0, 11.40, 0, -0.07 / pixels, 48.07),
    ) as file:
        file.write(planes.astype(np.uint8))
    return path


def write_by_gdal(path: Path, driver: str, **options: str) -> Path:
    """An archive that GDAL cuts out of a raster."""
    raster = write_raster(path.with_suffix(".tif"))
    rasterio.shutil.copy(raster, path, driver=driver, **options)
    return path
