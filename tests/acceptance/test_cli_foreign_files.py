"""`aerotile provision` of files that other programs wrote: coverage, its picture, and the digests."""

from __future__ import annotations

import hashlib
import io
import math
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import mercantile
import numpy as np
import pytest
import rasterio
import simplejpeg
from archives import Place, picture, write_by_gdal, write_pmtiles, write_raster
from cli_calls import Call
from PIL import Image
from pmtiles.reader import MmapSource, all_tiles

from aerotile.domain.values.tile_grid import EARTH_CIRCUMFERENCE_M

DATE = ("--captured-at", "2026-05-01")
JPEGS: dict[Place, bytes] = {(12, 2177 + x, 1420 + y): picture(10 * x + y) for x in (0, 1) for y in (0, 1)}


def of_sqlite(path: Path, table: str, *, from_south: bool) -> dict[Place, bytes]:
    with sqlite3.connect(path) as database:
        rows = database.execute(f"SELECT zoom_level, tile_column, tile_row, tile_data FROM {table}")
        found = {(z, x, (1 << z) - 1 - y if from_south else y): content for z, x, y, content in rows}
    database.close()
    return found


def mbtiles_of_gdal(folder: Path) -> tuple[str, dict[Place, bytes]]:
    path = write_by_gdal(folder / "o.mbtiles", "MBTiles", TILE_FORMAT="JPEG")
    subprocess.run(["gdaladdo", "-q", path, "2"], check=True, capture_output=True)
    return path.name, of_sqlite(path, "tiles", from_south=True)


def geopackage_of_gdal(folder: Path) -> tuple[str, dict[Place, bytes]]:
    options = {"TILE_FORMAT": "JPEG", "TILING_SCHEME": "GoogleMapsCompatible"}
    path = write_by_gdal(folder / "o.gpkg", "GPKG", **options)
    return path.name, of_sqlite(path, "o", from_south=False)


def pmtiles_of_its_package(folder: Path) -> tuple[str, dict[Place, bytes]]:
    path = write_pmtiles(folder / "o.pmtiles", JPEGS)
    with path.open("rb") as file:
        return path.name, dict(all_tiles(MmapSource(file)))


def folder_of_gdal2tiles(folder: Path, *options: str) -> tuple[str, dict[Place, bytes]]:
    raster = write_raster(folder / "raster.tif", 400)
    command = ["gdal2tiles.py", "-q", "-w", "none", "-z", "11-13", *options, str(raster), str(folder / "cut")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    found = {}
    for path in (folder / "cut").rglob("*.png"):
        z, x, y = int(path.parts[-3]), int(path.parts[-2]), int(path.stem)
        found[z, x, y if options else (1 << z) - 1 - y] = path.read_bytes()
    return "cut", found


def xyz_folder_of_gdal2tiles(folder: Path) -> tuple[str, dict[Place, bytes]]:
    return folder_of_gdal2tiles(folder, "--xyz")


def tms_folder_of_gdal2tiles(folder: Path) -> tuple[str, dict[Place, bytes]]:
    """With the `tilemapresource.xml` that says its order."""
    made = folder_of_gdal2tiles(folder)
    assert (folder / "cut" / "tilemapresource.xml").is_file()
    return made


def cog_of_gdal(folder: Path) -> tuple[str, dict[Place, bytes]]:
    """On the grid of the tiles, so that GDAL's own pixels are those to expect."""
    raster = write_raster(folder / "raster.tif")
    grid = ("TILING_SCHEME=GoogleMapsCompatible", "BLOCKSIZE=256", "ADD_ALPHA=YES", "RESAMPLING=BILINEAR")
    options = [word for one in (*grid, "OVERVIEWS=NONE") for word in ("-co", one)]
    command = ["gdal_translate", "-q", "-of", "COG", *options, str(raster), str(folder / "cog.tif")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    found = {}
    with rasterio.open(folder / "cog.tif") as file:
        pixel, half = file.transform.a, EARTH_CIRCUMFERENCE_M / 2
        zoom = round(math.log2(EARTH_CIRCUMFERENCE_M / (256 * pixel)))
        west, north = round((file.bounds.left + half) / pixel), round((half - file.bounds.top) / pixel)
        assert (west % 256, north % 256) == (0, 0)
        for row in range(0, file.height, 256):
            for column in range(0, file.width, 256):
                pixels = file.read(window=((row, row + 256), (column, column + 256)))
                if pixels[3].any():
                    stream = io.BytesIO()
                    Image.fromarray(np.moveaxis(pixels, 0, 2)).save(stream, "PNG")
                    found[zoom, (west + column) // 256, (north + row) // 256] = stream.getvalue()
    return "cog.tif", found


WRITERS = [
    cog_of_gdal,
    mbtiles_of_gdal,
    geopackage_of_gdal,
    pmtiles_of_its_package,
    xyz_folder_of_gdal2tiles,
    tms_folder_of_gdal2tiles,
]


@pytest.mark.skipif(shutil.which("gdal2tiles.py") is None, reason="needs GDAL's programs")
@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_file_of_another_program_goes_in_whole(
    call: Call, tmp_path: Path, write: Callable[[Path], tuple[str, Mapping[Place, bytes]]]
) -> None:
    name, expected = write(tmp_path)
    zooms = f"{min(expected)[0]}-{max(expected)[0]}"
    result = call("provision", name, "--partial", "--zoom", zooms, *DATE, "--map", "covered.png", "--json")
    assert result.json["refused"] == 0, result.err
    rows = {tuple(map(int, row["tile"].split("/")[1:])): row for row in call("dump").json_lines}
    assert rows.keys() == expected.keys()
    for place, content in expected.items():
        tile = Path("aerotile-data/tiles/imported", *map(str, place)).with_suffix(".jpg").read_bytes()
        assert rows[place]["content_sha256"] == hashlib.sha256(tile).hexdigest()
        if content.startswith(b"\xff\xd8"):
            assert tile == content
        else:
            assert_alike(tile, content)
    covered = result.json["coverage"]
    assert [one["zoom"] for one in covered] == sorted({place[0] for place in expected})
    for one in covered:
        boxes = [mercantile.bounds(x, y, z) for z, x, y in expected if z == one["zoom"]]
        west, south, east, north = zip(*boxes, strict=True)
        assert one["boxes"] == [pytest.approx([min(west), min(south), max(east), max(north)], abs=1e-4)]
    with Image.open("covered.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20)) > 1


def assert_alike(tile: bytes, png: bytes) -> None:
    """Opaque pixels of the PNG differ from those of the tile by what a JPEG of quality 90 loses."""
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGBA")).astype(int)
    difference = np.abs(simplejpeg.decode_jpeg(tile).astype(int) - pixels[..., :3])
    opaque = pixels[..., 3] == 255
    assert difference[opaque].mean() < 3
