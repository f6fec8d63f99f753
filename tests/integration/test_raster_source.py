"""GeoTIFFs of many projections as tiles, compared pixel by pixel with the rasters themselves."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasters import UTM, all_places, decoded, opened, slopes, tiles_of, true_colours, write_raster

from aerotile.adapters.rasters.raster_source import RasterSource
from aerotile.domain.ports.imagery_source import ImageryTile, ReadPlace, TilePlace
from aerotile.domain.values.tile_grid import GridRange

WRITTEN = "2024:05:01 10:30:00"
_ROTATED = ("EPSG:32633", Affine(4.0, 1.5, 500_000.0, 1.5, -4.0, 5_400_000.0))
_PLACED = {
    "UTM": UTM,
    "UTM rotated": _ROTATED,
    "UTM south up": ("EPSG:32633", Affine(4.0, 0.0, 500_000.0, 0.0, 4.0, 5_396_000.0)),
    "degrees": ("EPSG:4326", Affine(5e-5, 0.0, 11.0, 0.0, -4e-5, 48.0)),
    "Web Mercator": ("EPSG:3857", Affine(4.0, 0.0, 1_224_514.0, 0.0, -4.0, 6_106_854.0)),
    "LAEA": ("EPSG:3035", Affine(4.0, 0.0, 4_321_000.0, 0.0, -4.0, 3_210_000.0)),
    "another datum": ("EPSG:31468", Affine(4.0, 0.0, 4_468_000.0, 0.0, -4.0, 5_333_000.0)),
    "the far south": ("EPSG:32759", Affine(4.0, 0.0, 500_000.0, 0.0, -4.0, 5_400_000.0)),
}


@pytest.mark.parametrize("placed", _PLACED)
def test_every_pixel_shows_the_ground_that_lies_there(placed: str, tmp_path: Path) -> None:
    crs, place = _PLACED[placed]
    planes = slopes(1600, 1300)
    path = write_raster(tmp_path / "a.tif", planes, crs, place)
    with opened(path) as source:
        places = [one for zoom in list(source.zooms())[-3:] for one in all_places(source, zoom)]
        tiles = tiles_of(source, places)
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
    with opened(path) as source:
        finest = max(source.zooms())
        around = source.extent(finest)
        assert around is not None
        listed = set(all_places(source, finest))
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
    with opened(path) as source:
        for zoom in source.zooms():
            whole = set(all_places(source, zoom))
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
    with opened(path) as source:
        assert (list(source.zooms()), all_places(source, 0)) == ([0], [TilePlace(0, 0, 0)])
        (tile,) = tiles_of(source, [TilePlace(0, 0, 0)]).values()
    assert tile.valid_fraction == 1.0


def test_neighbours_meet_without_a_seam(tmp_path: Path) -> None:
    planes = slopes(1600, 1600)
    path = write_raster(tmp_path / "a.tif", planes, *UTM)
    with opened(path) as source:
        finest = max(source.zooms())
        tiles = tiles_of(source, all_places(source, finest))
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
    path = write_raster(tmp_path / "a.tif", slopes(1600, 1300), *UTM)
    with opened(path) as source:
        places = all_places(source, max(source.zooms()))
        at_once = tiles_of(source, places)
        again = tiles_of(source, places[::-1])
    assert at_once == again


def test_parents_are_the_means_of_their_children(tmp_path: Path) -> None:
    grey = np.random.default_rng(7).integers(20, 220, (1, 1000, 1000)).astype(np.uint8)
    noise = np.repeat(grey, 3, axis=0)
    path = write_raster(tmp_path / "a.tif", noise, *UTM)
    with RasterSource(path, tile_size=64, threads=2) as source:
        places = [one for zoom in source.zooms() for one in all_places(source, zoom)]
        tiles = tiles_of(source, places)
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
    with opened(path) as source:
        finest = max(source.zooms())
        places = all_places(source, finest)
        tiles = tiles_of(source, places)
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
    path = write_raster(tmp_path / "a.tif", slopes(2048, 2048), *UTM, tiled=True)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    # Another colour in an overview shows which one is read.
    for level in (0, 1):
        with rasterio.open(path, overview_level=level) as overview:
            assert overview.width == 1024 >> level
    with opened(path) as source:
        raster = source._raster
        assert raster.overviews == (2, 4)
        assert raster.overview_for(raster.metres_per_pixel * 1.5) is None
        assert raster.overview_for(raster.metres_per_pixel * 2) == 0
        assert raster.overview_for(raster.metres_per_pixel * 100) == 1
        tiles = tiles_of(source, all_places(source, max(source.zooms()) - 2))
    for tile in tiles.values():
        colours, inside = true_colours(slopes(2048, 2048), *UTM, tile.place, 8)
        if tile.valid_fraction == 1.0:
            assert np.abs(decoded(tile)[4::8, 4::8].astype(int) - colours).max() <= 12
            assert inside.all()


def test_no_zoom_is_finer_than_the_raster(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(1600, 1300), *UTM)
    with opened(path) as source:
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
    path = write_raster(tmp_path / "a.tif", slopes(90, 70), *UTM)
    with rasterio.open(path, "r+") as file:
        file.update_tags(**tags)
    with opened(path) as source:
        assert source.facts.captured_at == captured_at
        assert source.facts.captured_at_from == (tag and f"its tag {tag}")


def test_a_damaged_block_costs_its_own_places_alone(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif",
        slopes(2048, 2048),
        *UTM,
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
    with opened(path) as source:
        places = all_places(source, max(source.zooms()))
        read: list[ReadPlace] = list(source.read(places))
    errors = [one for one in read if isinstance(one, Exception)]
    assert 0 < len(errors) < len(read) / 2
    assert "can't be read at" in str(errors[0])
    assert "\n" not in str(errors[0])
