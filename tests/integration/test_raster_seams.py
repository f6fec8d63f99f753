"""Tiles of a GeoTIFF beside a bare warp of it by GDAL's own tool, at seams above all."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from rasters import TILE, all_places, decoded, tiles_of, write_raster

from aerotile.adapters.halved_pictures import Picture
from aerotile.adapters.rasters.raster_source import RasterSource
from aerotile.adapters.rasters.warped_block import BlockWarper
from aerotile.adapters.simplejpeg.pictures import TilePictureCodec
from aerotile.domain.intake.mosaic import Mosaic
from aerotile.domain.ports.imagery_source import ImageryTile, TilePlace
from aerotile.domain.values.tile_grid import EARTH_CIRCUMFERENCE_M

SMALL = 64
"""Pixels of a tile where many zooms are needed of few pixels."""
_HALF = EARTH_CIRCUMFERENCE_M / 2
_PLACED = {
    "UTM": ("EPSG:32632", Affine(4.0, 0.0, 680_000.0, 0.0, -4.0, 5_330_000.0)),
    "degrees": ("EPSG:4326", Affine(5e-5, 0.0, 11.0, 0.0, -4e-5, 48.0)),
    "LAEA rotated": ("EPSG:3035", Affine(4.0, 1.5, 4_321_000.0, 1.5, -4.0, 3_210_000.0)),
}


def _waves(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Grey in all three bands, so that JPEG's coarser colours cost nothing; waves of 12 to 40 pixels."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    grey = 120 + 40 * np.sin(columns / 2.0 + rows / 31.0) + 40 * np.cos(rows / 4.0 - columns / 6.5)
    return np.repeat(grey[np.newaxis], 3, axis=0).astype(np.uint8)


def _gdal(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _read(path: Path, zoom: int) -> dict[TilePlace, ImageryTile]:
    with RasterSource(path, tile_size=TILE, threads=2) as source:
        return tiles_of(source, all_places(source, zoom))


def _bare_warp(path: Path, zoom: int, columns: range, rows: range) -> npt.NDArray[np.int16]:
    """The same ground at the zoom's pixels in one piece, exactly transformed, by `gdalwarp`."""
    size = EARTH_CIRCUMFERENCE_M / (1 << zoom)
    edges = (-_HALF + columns[0] * size, _HALF - (rows[-1] + 1) * size)
    opposite = (-_HALF + (columns[-1] + 1) * size, _HALF - rows[0] * size)
    target = path.with_name("bare.tif")
    _gdal(
        *("gdalwarp", "-q", "-t_srs", "EPSG:3857", "-r", "bilinear", "-et", "0", "-ovr", "NONE"),
        *("-te", *map(repr, edges + opposite)),
        *("-ts", str(TILE * len(columns)), str(TILE * len(rows)), str(path), str(target)),
    )
    with rasterio.open(target) as warped:
        return warped.read(1).astype(np.int16)  # type: ignore[no-any-return] # of rasterio, which has no types


@pytest.mark.parametrize("placed", _PLACED)
def test_seams_are_as_close_to_a_bare_warp_as_the_middle_of_tiles(placed: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", _waves(2200, 2000), *_PLACED[placed])
    zoom = 14
    tiles = _read(path, zoom)
    whole = {place for place, tile in tiles.items() if tile.valid_fraction == 1.0}
    columns = range(min(place.x for place in whole), max(place.x for place in whole) + 1)
    rows = range(min(place.y for place in whole), max(place.y for place in whole) + 1)
    bare = _bare_warp(path, zoom, columns, rows)
    apart = np.ma.masked_all(bare.shape, np.int16)
    for place in whole:
        row, column = TILE * (place.y - rows[0]), TILE * (place.x - columns[0])
        there = np.s_[row : row + TILE, column : column + TILE]
        apart[there] = np.abs(decoded(tiles[place])[..., 0] - bare[there])
    steps = np.arange(TILE)
    is_edge = (steps < 2) | (steps >= TILE - 2)
    seams = np.tile(is_edge, len(rows))[:, np.newaxis] | np.tile(is_edge, len(columns))
    assert np.ma.count(apart) == len(whole) * TILE * TILE >= 9 * TILE * TILE
    assert apart.mean() < 2.0
    assert apart.max() <= 16  # JPEG of quality 90, and an eighth of a pixel that GDAL may be off
    assert apart[seams].mean() < apart[~seams].mean() + 0.5


@pytest.mark.parametrize("overviews", [(), ("2", "4", "8")], ids=["no overviews", "overviews"])
def test_a_tile_has_the_same_bytes_whatever_else_is_read(overviews: Sequence[str], tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", _waves(600, 600), *_PLACED["UTM"])
    if overviews:
        _gdal("gdaladdo", "-q", "-r", "average", str(path), *overviews)
    with RasterSource(path, tile_size=SMALL, threads=2) as source:
        zooms = list(source.zooms())
        by_zoom = {zoom: tiles_of(source, all_places(source, zoom)) for zoom in zooms}
        together = tiles_of(source, [place for zoom in zooms for place in all_places(source, zoom)])
        alone = [next(iter(source.read([place]))) for place in list(together)[:3]]
    assert len(zooms) == 3
    assert together == {place: tile for tiles in by_zoom.values() for place, tile in tiles.items()}
    assert alone == list(together.values())[:3]


def test_a_raster_is_warped_once_for_all_zooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raster(tmp_path / "a.tif", _waves(600, 600), *_PLACED["UTM"])
    warp, warped = BlockWarper.warp, []

    def counting(warper: BlockWarper, zoom_level: int, x: int, y: int, tiles: int) -> Picture | None:
        warped.append((zoom_level, x, y))
        return warp(warper, zoom_level, x, y, tiles)

    with RasterSource(path, tile_size=SMALL, threads=2) as source:
        mosaic = Mosaic.of([source], TilePictureCodec(SMALL))
        blocks = list(mosaic.blocks())
        monkeypatch.setattr(BlockWarper, "warp", counting)
        read = [one.tile for block in blocks for one in mosaic.read(block)]
        places = {place for zoom in source.zooms() for place in all_places(source, zoom)}
    assert {tile.place.zoom_level for tile in read if tile is not None} == {14, 15, 16}
    assert {place for block in blocks for place in block.places} == places
    assert {zoom for zoom, _, _ in warped} == {16}
    assert len(warped) == len(set(warped))


def test_sheets_that_touch_leave_no_gap_and_no_seam(tmp_path: Path) -> None:
    crs, there = _PLACED["LAEA rotated"]
    picture = _waves(600, 500)
    whole = write_raster(tmp_path / "whole.tif", picture, crs, there)
    west = write_raster(tmp_path / "west.tif", picture[:, :, :333], crs, there)
    east = write_raster(tmp_path / "east.tif", picture[:, :, 333:], crs, there * Affine.translation(333, 0))
    with (
        RasterSource(whole, tile_size=SMALL, threads=2) as source,
        RasterSource(west, tile_size=SMALL, threads=2) as first,
        RasterSource(east, tile_size=SMALL, threads=2) as second,
    ):
        zooms = sorted(set(first.zooms()) & set(second.zooms()))
        expected = tiles_of(source, [place for zoom in zooms for place in all_places(source, zoom)])
        mosaic = Mosaic.of([first, second], TilePictureCodec(SMALL), zooms=zooms)
        read = {one.place: one for block in mosaic.blocks() for one in mosaic.read(block)}
    mixed = [place for place, one in read.items() if len(one.sources) == 2]
    assert {place.zoom_level for place in mixed} == set(zooms)
    for place, tile in expected.items():
        joined = read[place].tile
        assert joined is not None
        assert abs(joined.valid_fraction - tile.valid_fraction) < 0.01, place
        if tile.valid_fraction == 1.0:
            apart = np.abs(decoded(joined)[..., 0].astype(int) - decoded(tile)[..., 0])
            assert (joined.valid_fraction, apart.mean() < 2.0, apart.max() < 60) == (1.0, True, True), place


def test_an_overview_is_read_in_place_of_the_raster(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", _waves(600, 600), *_PLACED["UTM"])
    _gdal("gdaladdo", "-q", "-ro", str(path), "2")
    with rasterio.Env(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overviews beside the raster have no place of their own
        with rasterio.open(tmp_path / "a.tif.ovr", "r+") as overview:  # now of another grey than the raster
            overview.write(np.full((3, overview.height, overview.width), 200, np.uint8))
    with RasterSource(path, tile_size=SMALL, threads=2) as source:
        zooms = list(source.zooms())
        shown = {zoom: decoded(_fullest(tiles_of(source, all_places(source, zoom)))) for zoom in zooms}
    assert np.ptp(shown[zooms[-1]]) > 100
    assert [shown[zoom][SMALL // 2, SMALL // 2].tolist() for zoom in zooms[:-1]] == [[200, 200, 200]] * (
        len(zooms) - 1
    )


def _fullest(tiles: dict[TilePlace, ImageryTile]) -> ImageryTile:
    return max(tiles.values(), key=lambda tile: tile.valid_fraction)
