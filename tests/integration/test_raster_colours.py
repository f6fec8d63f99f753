"""Which values of a GeoTIFF are ground, and the colours that they become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasters import UTM, all_places, decoded, opened, slopes, tiles_of, true_colours, write_raster

from aerotile.domain.ports.imagery_source import ImageryTile


def test_nodata_alpha_and_masks_are_no_ground(tmp_path: Path) -> None:
    hole = np.s_[300:700, 400:900]
    planes = slopes(1600, 1300)
    with_nodata = planes.copy()
    with_nodata[(slice(None), *hole)] = 0
    alpha = np.full((1, 1300, 1600), 255, np.uint8)
    alpha[(0, *hole)] = 0
    files = [
        write_raster(tmp_path / "nodata.tif", with_nodata, *UTM, nodata=0),
        write_raster(tmp_path / "alpha.tif", np.concatenate([planes, alpha]), *UTM),
    ]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        files.append(write_raster(tmp_path / "mask.tif", planes, *UTM))
        with rasterio.open(files[-1], "r+") as file:
            file.write_mask(alpha[0])
    fractions = []
    for path in files:
        with opened(path) as source:
            tiles = tiles_of(source, all_places(source, max(source.zooms())))
            fractions.append({place: tile.valid_fraction for place, tile in tiles.items()})
            shown = max(tiles.values(), key=lambda tile: tile.valid_fraction)
            assert decoded(shown).min() > 5
    assert fractions[0] == fractions[1] == fractions[2]
    assert any(0 < fraction < 1 for fraction in fractions[0].values())


def test_a_value_of_nodata_in_one_band_alone_is_ground(tmp_path: Path) -> None:
    planes = slopes(1600, 1300)
    planes[0] = 0
    path = write_raster(tmp_path / "a.tif", planes, *UTM, nodata=0)
    with opened(path) as source:
        tiles = tiles_of(source, all_places(source, max(source.zooms())))
    assert any(tile.valid_fraction == 1.0 for tile in tiles.values())


def test_bands_go_by_their_colours_whatever_their_order(tmp_path: Path) -> None:
    planes = slopes(1600, 1300)
    infrared = np.full_like(planes[:1], 255)
    path = write_raster(
        tmp_path / "a.tif",
        np.concatenate([infrared, planes[::-1]]),
        *UTM,
        photometric="minisblack",
        alpha="no",
    )
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    straight = write_raster(tmp_path / "b.tif", planes, *UTM)
    with opened(path) as mixed, opened(straight) as plain:
        places = all_places(plain, max(plain.zooms()))
        assert [tile.pixels for tile in tiles_of(mixed, places).values()] == [
            tile.pixels for tile in tiles_of(plain, places).values()
        ]
        made_of = next(iter(tiles_of(mixed, places).values())).encoded_from
    assert made_of == "GeoTIFF; bands 4,3,2 as red, green, blue"


def test_grey_and_palettes(tmp_path: Path) -> None:
    grey = write_raster(tmp_path / "grey.tif", slopes(1600, 1300)[:1], *UTM)
    indices = np.zeros((1, 1300, 1600), np.uint8)
    indices[0, :, 800:] = 7
    palette = write_raster(tmp_path / "palette.tif", indices, *UTM, photometric="palette")
    with rasterio.open(palette, "r+") as file:
        file.write_colormap(1, {0: (200, 30, 30, 255), 7: (30, 30, 200, 255)})
    with opened(grey) as source:
        tile = max(tiles_of(source, all_places(source, max(source.zooms()))).values(), key=_fraction)
        pixels = decoded(tile)
        assert (pixels[:, :, 0] == pixels[:, :, 2]).all()
    with opened(palette) as source:
        tiles = tiles_of(source, all_places(source, max(source.zooms())))
    seen = {tuple(decoded(tile)[128, 128] // 20 * 20) for tile in tiles.values() if tile.valid_fraction == 1}
    assert seen <= {(200, 20, 20), (20, 20, 200), (200, 40, 20)}
    assert len(seen) >= 2


def _fraction(tile: ImageryTile) -> float:
    return tile.valid_fraction


def test_sixteen_bits_have_one_scale_for_the_whole_raster(tmp_path: Path) -> None:
    planes = slopes(1600, 1300).astype(np.uint16) * 40 + 1000
    path = write_raster(tmp_path / "a.tif", planes, *UTM)
    with opened(path) as source:
        tiles = tiles_of(source, all_places(source, max(source.zooms())))
    west = min(tiles.values(), key=lambda tile: (tile.valid_fraction < 1, tile.place.x))
    east = min(tiles.values(), key=lambda tile: (tile.valid_fraction < 1, -tile.place.x))
    # A scale of each tile would stretch both to the same values.
    assert decoded(west)[..., 0].mean() + 40 < decoded(east)[..., 0].mean()
    assert "scaled to 0..255 (2nd to 98th percentile of" in (west.encoded_from or "")


def test_stated_statistics_are_the_scale(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(1600, 1300).astype(np.uint16), *UTM)
    with rasterio.open(path, "r+") as file:
        for band in (1, 2, 3):
            file.update_tags(band, STATISTICS_MINIMUM=0, STATISTICS_MAXIMUM=510)
    with opened(path) as source:
        tiles = tiles_of(source, all_places(source, max(source.zooms())))
    tile = max(tiles.values(), key=_fraction)
    colours, _ = true_colours(slopes(1600, 1300), *UTM, tile.place, 8)
    assert np.abs(decoded(tile)[4::8, 4::8] - colours / 2).max() <= 8
    assert "0..510 scaled to 0..255 (the file's own statistics)" in (tile.encoded_from or "")
