"""What a lower source fills in is encoded once, with the tile that it becomes a part of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from affine import Affine
from archives import write_folder
from PIL import Image
from rasters import write_raster

from aerotile.adapters.composition.imagery_parts import open_imagery_source
from aerotile.adapters.simplejpeg.pictures import TilePictureCodec
from aerotile.domain.intake.mosaic import Mosaic
from aerotile.domain.ports.imagery_source import ImageryTile, TilePlace
from aerotile.domain.values.tile_grid import EARTH_CIRCUMFERENCE_M

SIDE, WEST = 256, 100
PLACE = TilePlace(13, 4337, 2888)
PIXEL = EARTH_CIRCUMFERENCE_M / (SIDE << PLACE.zoom_level)
CORNER = Affine(
    *(PIXEL, 0.0, PLACE.x * SIDE * PIXEL - EARTH_CIRCUMFERENCE_M / 2),
    *(0.0, -PIXEL, EARTH_CIRCUMFERENCE_M / 2 - PLACE.y * SIDE * PIXEL),
)
"""Pixels of a raster there are pixels of the tile."""

Pixels = npt.NDArray[np.uint8]


def _noise(seed: int) -> Pixels:
    """Rows, columns, colours; of which JPEG keeps little, and less each time."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def _raster(path: Path, pixels: Pixels) -> str:
    return str(write_raster(path, np.moveaxis(pixels, 2, 0), "EPSG:3857", CORNER))


def _folder(path: Path, pixels: Pixels) -> str:
    target = path.with_suffix(".png")
    Image.fromarray(pixels).save(target)
    return str(write_folder(path.with_suffix(""), {PLACE: target.read_bytes()}, "png"))


@pytest.mark.parametrize("lower", [_raster, _folder], ids=["GeoTIFF", "folder of PNG"])
def test_a_tile_of_two_sources_is_encoded_once(lower: Callable[[Path, Pixels], str], tmp_path: Path) -> None:
    above, below = _noise(1), _noise(2)
    upper = _raster(tmp_path / "west.tif", above[:, :WEST])
    names = [upper, lower(tmp_path / "below.tif", below)]
    with open_imagery_source(names[0], tile_size=SIDE) as first:
        (part,) = first.read([PLACE])
        assert isinstance(part, ImageryTile)
        assert part.part is not None
        shown = part.part.valid
        assert shown[:, : WEST - 1].all()
        assert not shown[:, WEST + 1 :].any()
        with open_imagery_source(names[1], tile_size=SIDE) as second:
            codec = TilePictureCodec(SIDE)
            mosaic = Mosaic.of([first, second], codec, zooms=[PLACE.zoom_level])
            (tile,) = (one.tile for block in mosaic.blocks() for one in mosaic.read(block))
    assert tile is not None
    assert tile.pixels == codec.encode(np.where(shown[..., np.newaxis], part.part.pixels, below))
