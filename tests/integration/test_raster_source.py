"""GeoTIFFs of many projections as tiles, compared pixel by pixel with the rasters themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasters import decoded, slopes, true_colours, write_raster

from aerotile.adapters.rasters.raster_source import RasterSource
from aerotile.domain.ports.imagery_source import ImageryTile, ReadPlace, TilePlace
from aerotile.domain.values.tile_grid import GridRange

WRITTEN = "2024:05:01 10:30:00"
_UTM = ("EPSG:32633", Affine(4.0, 0.0, 500_000.0, 0.0, -4.0, 5_400_000.0))
_ROTATED = ("EPSG:32633", Affine(4.0, 1.5, 500_000.0, 1.5, -4.0, 5_400_000.0))
_PLACED = {
    "UTM": _UTM,
    "UTM rotated": _ROTATED,
    "UTM south up": ("EPSG:32633", Affine(4.0, 0.0, 500_000.0, 0.0, 4.0, 5_396_000.0)),
    "degrees": ("EPSG:4326", Affine(5e-5, 0.0, 11.0, 0.0, -4e-5, 48.0)),
    "Web Mercator": ("EPSG:3857", Affine(4.0, 0.0, 1_224_514.0, 0.0, -4.0, 6_106_854.0)),
    "LAEA": ("EPSG:3035", Affine(4.0, 0.0, 4_321_000.0, 0.0, -4.0, 3_210_000.0)),
    "another datum": ("EPSG:31468", Affine(4.0, 0.0, 4_468_000.0, 0.0, -4.0, 5_333_000.0)),
    "the far south": ("EPSG:32759", Affine(4.0, 0.0, 500_000.0, 0.0, -4.0, 5_400_000.0)),
}


@contextmanager
def _open(path: Path) -> Iterator[RasterSource]:
    with RasterSource(path, tile_size=256, threads=2) as source:
        yield source


def _all_places(source: RasterSource, zoom_level: int) -> list[TilePlace]:
    within = source.extent(zoom_level)
    assert within is not None
    return [found.place for found in source.places(within)]


def _tiles(source: RasterSource, places: Sequence[TilePlace]) -> dict[TilePlace, ImageryTile]:
    """The places that have ground; fails for one that has none where its raster should have some."""
    read = dict(zip(places, source.read(places), strict=True))
    assert not [one for one in read.values() if isinstance(one, Exception)]
    return {place: one for place, one in read.items() if isinstance(one, ImageryTile)}


@pytest.mark.parametrize("placed", _PLACED)
def test_every_pixel_shows_the_ground_that_lies_there(placed: str, tmp_path: Path) -> None:
    crs, place = _PLACED[placed]
    planes = slopes(1600, 1300)
    path = write_raster(tmp_path / "a.tif", planes, crs, place)
    with _open(path) as source:
        places = [one for zoom in list(source.zooms())[-3:] for one in _all_places(source, zoom)]
        tiles = _tiles(source, places)
    whole = [tile for tile in tiles.values() if tile.valid_fraction == 1.0]
    assert whole
    for tile in tiles.values():
        colours, inside = true_colours(planes, crs, place, tile.place, 8)
        shown = decoded(tile)[4::8, 4::8].astype(int)
        # Pixels along the raster's edge are not compared: JPEG mixes them with what is beside them.
        compared = inside if tile.valid_fraction == 1.0 else _far_inside(inside)
        assert np.abs(shown - colours)[compared].max(initial=0) <= 12, tile.place
        assert abs(inside.mean() - tile.valid_fraction) < 0.05, tile.place


def _far_inside(inside: np.ndarray) -> np.ndarray:  # type: ignore[type-arg] # of bool
    padded = np.pad(inside, 2, constant_values=False)
    far = inside.copy()
    for row in range(5):
        for column in range(5):
            far &= padded[row : row + inside.shape[0], column : column + inside.shape[1]]
    return far


def test_no_ground_lies_beyond_the_listed_places(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(1600, 1300), *_ROTATED)
    with _open(path) as source:
        finest = max(source.zooms())
        around = source.extent(finest)
        assert around is not None
        listed = set(_all_places(source, finest))
        wider = [
            TilePlace(finest, x, y)
            for x in range(around.min_x - 1, around.max_x + 2)
            for y in range(around.min_y - 1, around.max_y + 2)
        ]
        found = {one.place for one in source.read(wider) if isinstance(one, ImageryTile)}
    assert found <= listed
    assert len(listed) <= len(found) + 4  # a corner of the box around a rotated tile


@pytest.mark.parametrize("placed", ["UTM rotated", "degrees", "across the antimeridian"])
def test_the_places_of_rectangles_are_those_of_the_whole(placed: str, tmp_path: Path) -> None:
    across = ("EPSG:4326", Affine(0.0005, 0.0, 179.6, 0.0, -0.0005, 0.4))
    path = write_raster(tmp_path / "a.tif", slopes(1600, 1300), *_PLACED.get(placed, across))
    with _open(path) as source:
        for zoom in source.zooms():
            whole = set(_all_places(source, zoom))
            columns = sorted({place.x for place in whole})
            rows = sorted({place.y for place in whole})
            middle = columns[len(columns) // 2]
            found = [
                one.place
                for row in rows
                for first, last in ((columns[0], middle), (middle + 1, columns[-1]))
                if first <= last
                for one in source.places(GridRange(zoom, first, row, last, row))
            ]
            assert sorted(found) == sorted(whole)


def test_a_world_of_one_tile_is_there(tmp_path: Path) -> None:
    degrees = Affine(1.8, 0.0, -180.0, 0.0, -1.8, 90.0)
    path = write_raster(tmp_path / "a.tif", slopes(200, 100), "EPSG:4326", degrees)
    with _open(path) as source:
        assert (list(source.zooms()), _all_places(source, 0)) == ([0], [TilePlace(0, 0, 0)])
        (tile,) = _tiles(source, [TilePlace(0, 0, 0)]).values()
    assert tile.valid_fraction == 1.0


def test_neighbours_meet_without_a_seam(tmp_path: Path) -> None:
    planes = slopes(1600, 1600)
    path = write_raster(tmp_path / "a.tif", planes, *_UTM)
    with _open(path) as source:
        finest = max(source.zooms())
        tiles = _tiles(source, _all_places(source, finest))
    whole = {place: decoded(tile).astype(int) for place, tile in tiles.items() if tile.valid_fraction == 1.0}
    seams = 0
    for place, pixels in whole.items():
        east = whole.get(place._replace(x=place.x + 1))
        if east is not None:
            seams += 1
            step = np.abs(pixels[:, -1] - east[:, 0]).mean()
            within = np.abs(np.diff(pixels, axis=1)).mean()
            assert step <= within + 1.5
    assert seams > 5


def test_blocks_of_any_size_and_place_give_the_same_bytes(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(1600, 1300), *_UTM)
    with _open(path) as source:
        places = _all_places(source, max(source.zooms()))
        at_once = _tiles(source, places)
        again = _tiles(source, places[::-1])
    assert at_once == again


def test_parents_are_the_means_of_their_children(tmp_path: Path) -> None:
    grey = np.random.default_rng(7).integers(20, 220, (1, 1000, 1000)).astype(np.uint8)
    noise = np.repeat(grey, 3, axis=0)
    path = write_raster(tmp_path / "a.tif", noise, *_UTM)
    with RasterSource(path, tile_size=64, threads=2) as source:
        places = [one for zoom in source.zooms() for one in _all_places(source, zoom)]
        tiles = _tiles(source, places)
    compared: Counter[int] = Counter()
    for place, tile in tiles.items():
        children = [
            tiles.get(TilePlace(place.zoom_level + 1, 2 * place.x + column, 2 * place.y + row))
            for row in (0, 1)
            for column in (0, 1)
        ]
        if all(child is not None and child.valid_fraction == 1.0 for child in children):
            whole = [decoded(child).astype(float) for child in children if child is not None]
            square = np.vstack([np.hstack(whole[:2]), np.hstack(whole[2:])])
            means = square.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
            # JPEG's own error is a few steps a pixel, and none in the mean.
            assert np.abs(means - decoded(tile)).mean() < 8
            assert np.abs((means - decoded(tile)).mean(axis=(0, 1))).max() < 1.5
            compared[place.zoom_level] += 1
    assert list(compared) == [14, 15]


def test_nodata_alpha_and_masks_are_no_ground(tmp_path: Path) -> None:
    hole = np.s_[300:700, 400:900]
    planes = slopes(1600, 1300)
    with_nodata = planes.copy()
    with_nodata[(slice(None), *hole)] = 0
    alpha = np.full((1, 1300, 1600), 255, np.uint8)
    alpha[(0, *hole)] = 0
    files = [
        write_raster(tmp_path / "nodata.tif", with_nodata, *_UTM, nodata=0),
        write_raster(tmp_path / "alpha.tif", np.concatenate([planes, alpha]), *_UTM),
    ]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        files.append(write_raster(tmp_path / "mask.tif", planes, *_UTM))
        with rasterio.open(files[-1], "r+") as file:
            file.write_mask(alpha[0])
    fractions = []
    for path in files:
        with _open(path) as source:
            tiles = _tiles(source, _all_places(source, max(source.zooms())))
            fractions.append({place: tile.valid_fraction for place, tile in tiles.items()})
            shown = max(tiles.values(), key=lambda tile: tile.valid_fraction)
            assert decoded(shown).min() > 5
    assert fractions[0] == fractions[1] == fractions[2]
    assert any(0 < fraction < 1 for fraction in fractions[0].values())


def test_a_value_of_nodata_in_one_band_alone_is_ground(tmp_path: Path) -> None:
    planes = slopes(1600, 1300)
    planes[0] = 0
    path = write_raster(tmp_path / "a.tif", planes, *_UTM, nodata=0)
    with _open(path) as source:
        tiles = _tiles(source, _all_places(source, max(source.zooms())))
    assert any(tile.valid_fraction == 1.0 for tile in tiles.values())


def test_bands_go_by_their_colours_whatever_their_order(tmp_path: Path) -> None:
    planes = slopes(1600, 1300)
    infrared = np.full_like(planes[:1], 255)
    path = write_raster(
        tmp_path / "a.tif",
        np.concatenate([infrared, planes[::-1]]),
        *_UTM,
        photometric="minisblack",
        alpha="no",
    )
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    straight = write_raster(tmp_path / "b.tif", planes, *_UTM)
    with _open(path) as mixed, _open(straight) as plain:
        places = _all_places(plain, max(plain.zooms()))
        assert [tile.pixels for tile in _tiles(mixed, places).values()] == [
            tile.pixels for tile in _tiles(plain, places).values()
        ]
        made_of = next(iter(_tiles(mixed, places).values())).encoded_from
    assert made_of == "GeoTIFF; bands 4,3,2 as red, green, blue"


def test_grey_and_palettes(tmp_path: Path) -> None:
    grey = write_raster(tmp_path / "grey.tif", slopes(1600, 1300)[:1], *_UTM)
    indices = np.zeros((1, 1300, 1600), np.uint8)
    indices[0, :, 800:] = 7
    palette = write_raster(tmp_path / "palette.tif", indices, *_UTM, photometric="palette")
    with rasterio.open(palette, "r+") as file:
        file.write_colormap(1, {0: (200, 30, 30, 255), 7: (30, 30, 200, 255)})
    with _open(grey) as source:
        tile = max(_tiles(source, _all_places(source, max(source.zooms()))).values(), key=_fraction)
        pixels = decoded(tile)
        assert (pixels[:, :, 0] == pixels[:, :, 2]).all()
    with _open(palette) as source:
        tiles = _tiles(source, _all_places(source, max(source.zooms())))
    seen = {tuple(decoded(tile)[128, 128] // 20 * 20) for tile in tiles.values() if tile.valid_fraction == 1}
    assert seen <= {(200, 20, 20), (20, 20, 200), (200, 40, 20)}
    assert len(seen) >= 2


def _fraction(tile: ImageryTile) -> float:
    return tile.valid_fraction


def test_sixteen_bits_have_one_scale_for_the_whole_raster(tmp_path: Path) -> None:
    planes = slopes(1600, 1300).astype(np.uint16) * 40 + 1000
    path = write_raster(tmp_path / "a.tif", planes, *_UTM)
    with _open(path) as source:
        tiles = _tiles(source, _all_places(source, max(source.zooms())))
    west = min(tiles.values(), key=lambda tile: (tile.valid_fraction < 1, tile.place.x))
    east = min(tiles.values(), key=lambda tile: (tile.valid_fraction < 1, -tile.place.x))
    # A scale of each tile would stretch both to the same values.
    assert decoded(west)[..., 0].mean() + 40 < decoded(east)[..., 0].mean()
    assert "scaled to 0..255 (2nd to 98th percentile of" in (west.encoded_from or "")


def test_stated_statistics_are_the_scale(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(1600, 1300).astype(np.uint16), *_UTM)
    with rasterio.open(path, "r+") as file:
        for band in (1, 2, 3):
            file.update_tags(band, STATISTICS_MINIMUM=0, STATISTICS_MAXIMUM=510)
    with _open(path) as source:
        tiles = _tiles(source, _all_places(source, max(source.zooms())))
    tile = max(tiles.values(), key=_fraction)
    colours, _ = true_colours(slopes(1600, 1300), *_UTM, tile.place, 8)
    assert np.abs(decoded(tile)[4::8, 4::8] - colours / 2).max() <= 8
    assert "0..510 scaled to 0..255 (the file's own statistics)" in (tile.encoded_from or "")


@pytest.mark.parametrize(
    ("crs", "west", "pixel"),
    [("EPSG:4326", 179.6, 0.0005), ("EPSG:4326", -180.4, 0.0005), ("EPSG:3857", 19_997_500.0, 50.0)],
)
def test_a_raster_across_the_antimeridian_is_whole(
    crs: str, west: float, pixel: float, tmp_path: Path
) -> None:
    planes = slopes(1600, 1600)
    north = 0.4 if crs == "EPSG:4326" else 40_000.0
    path = write_raster(tmp_path / "a.tif", planes, crs, Affine(pixel, 0, west, 0, -pixel, north))
    with _open(path) as source:
        finest = max(source.zooms())
        places = _all_places(source, finest)
        tiles = _tiles(source, places)
    last = (1 << finest) - 1
    assert {place.x for place in places} >= {0, last}
    assert len(places) < 80  # no belt around the globe
    east_of_it, west_of_it = (
        [
            decoded(tile)[..., 0].mean()
            for place, tile in tiles.items()
            if place.x == x and tile.valid_fraction == 1
        ]
        for x in (0, last)
    )
    assert min(east_of_it) > max(west_of_it) > 20  # red grows from west to east


def test_overviews_are_read_where_they_are_fine_enough(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(2048, 2048), *_UTM, tiled=True)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    # Another colour in an overview shows which one is read.
    for level in (0, 1):
        with rasterio.open(path, overview_level=level) as overview:
            assert overview.width == 1024 >> level
    with _open(path) as source:
        raster = source._raster
        assert raster.overviews == (2, 4)
        assert raster.overview_for(raster.metres_per_pixel * 1.5) is None
        assert raster.overview_for(raster.metres_per_pixel * 2) == 0
        assert raster.overview_for(raster.metres_per_pixel * 100) == 1
        tiles = _tiles(source, _all_places(source, max(source.zooms()) - 2))
    for tile in tiles.values():
        colours, inside = true_colours(slopes(2048, 2048), *_UTM, tile.place, 8)
        if tile.valid_fraction == 1.0:
            assert np.abs(decoded(tile)[4::8, 4::8].astype(int) - colours).max() <= 12
            assert inside.all()


def test_no_zoom_is_finer_than_the_raster(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(1600, 1300), *_UTM)
    with _open(path) as source:
        # 4 m at 48.7 degrees north are 6.06 m of Web Mercator: zoom 14 has 9.55 m, zoom 15 has 4.78 m.
        assert max(source.zooms()) == 14
        assert source.extent(15) is None
        assert source.places(GridRange(15, 17_000, 11_000, 18_000, 12_000)) == []


@pytest.mark.parametrize(
    ("tags", "captured_at", "tag"),
    [
        (
            {"TIFFTAG_DATETIME": WRITTEN},
            datetime(2024, 5, 1, 10, 30, tzinfo=timezone.utc),
            "TIFFTAG_DATETIME",
        ),
        (
            {"TIFFTAG_DATETIME": WRITTEN, "ACQUISITIONDATETIME": "2023-07-09 08:00:01"},
            datetime(2023, 7, 9, 8, 0, 1, tzinfo=timezone.utc),
            "ACQUISITIONDATETIME",
        ),
        (
            {"TIFFTAG_DATETIME": WRITTEN, "EXIF_DateTimeOriginal": "2023:07:09 08:00:01"},
            datetime(2023, 7, 9, 8, 0, 1, tzinfo=timezone.utc),
            "EXIF_DateTimeOriginal",
        ),
        ({"TIFFTAG_DATETIME": "yesterday"}, None, None),
        ({}, None, None),
    ],
)
def test_the_capture_time_is_what_the_tags_say(
    tags: dict[str, str], captured_at: datetime | None, tag: str | None, tmp_path: Path
) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(90, 70), *_UTM)
    with rasterio.open(path, "r+") as file:
        file.update_tags(**tags)
    with _open(path) as source:
        assert source.facts.captured_at == captured_at
        assert source.facts.captured_at_from == (tag and f"its tag {tag}")


def test_a_damaged_block_costs_its_own_places_alone(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif",
        slopes(2048, 2048),
        *_UTM,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
    )
    with rasterio.open(path) as file:
        offset, size = (
            int(file.get_tag_item(f"BLOCK_{what}_7_7", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
        )
    with path.open("r+b") as damaged:
        damaged.seek(offset)
        damaged.write(b"\xff" * size)
    with _open(path) as source:
        places = _all_places(source, max(source.zooms()))
        read: list[ReadPlace] = list(source.read(places))
    errors = [one for one in read if isinstance(one, Exception)]
    assert 0 < len(errors) < len(read) / 2
    assert "can't be read at" in str(errors[0])
    assert "\n" not in str(errors[0])
