"""Rasters whose colours follow from their pixels, for tests that compare tiles with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import simplejpeg
from affine import Affine
from rasterio.warp import transform

from aerotile.adapters.rasters.raster_source import RasterSource
from aerotile.domain.ports.imagery_source import ImageryTile, TilePlace
from aerotile.domain.values.tile_grid import EARTH_CIRCUMFERENCE_M

TILE = 256


def slopes(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Red grows from west to east, green from north to south, blue along the diagonal; none is below 20."""
    columns, rows = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    return (20 + 200 * np.stack([columns, rows, (columns + rows) / 2])).astype(np.uint8)


def write_raster(
    path: Path, planes: npt.NDArray[Any], crs: str | None, place: Affine | None, **options: Any
) -> Path:
    """A GeoTIFF of these planes."""
    bands, height, width = planes.shape
    facts = {"driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": planes.dtype}
    if place is not None:
        facts["transform"] = place
    with rasterio.open(path, "w", crs=crs, **facts, **options) as file:
        file.write(planes)
    return path


def decoded(tile: ImageryTile) -> npt.NDArray[np.uint8]:
    """Rows, columns, red green blue."""
    if tile.part is not None:
        assert tile.pixels is None, "encoded, though the next source may fill it in"
        return tile.part.pixels
    pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(tile.pixels, "RGB")
    return pixels


def true_colours(
    planes: npt.NDArray[Any], crs: str, place: Affine, tile: TilePlace, step: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """For every `step`th pixel of a tile the raster's own nearest pixel, and whether there is one.

    Each pixel's centre is transformed by itself, without the warper.
    """
    size = EARTH_CIRCUMFERENCE_M / (TILE << tile.zoom_level)
    half = EARTH_CIRCUMFERENCE_M / 2
    pixels = np.arange(step // 2, TILE, step) + 0.5
    x, y = np.meshgrid(-half + (tile.x * TILE + pixels) * size, half - (tile.y * TILE + pixels) * size)
    across, along = (np.asarray(one) for one in transform("EPSG:3857", crs, x.ravel(), y.ravel())[:2])
    inverse = ~place
    columns = np.floor(inverse.a * across + inverse.b * along + inverse.c).reshape(x.shape)
    rows = np.floor(inverse.d * across + inverse.e * along + inverse.f).reshape(x.shape)
    _, height, width = planes.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows = np.where(inside, columns, 0).astype(int), np.where(inside, rows, 0).astype(int)
    return np.moveaxis(planes[:, rows, columns], 0, 2), inside


UTM = ("EPSG:32633", Affine(4.0, 0.0, 500_000.0, 0.0, -4.0, 5_400_000.0))


@contextmanager
def opened(path: Path) -> Iterator[RasterSource]:
    """The raster as a source of tiles of 256 pixels."""
    with RasterSource(path, tile_size=256, threads=2) as source:
        yield source


def all_places(source: RasterSource, zoom_level: int) -> list[TilePlace]:
    """Every place of a zoom that a source has."""
    within = source.extent(zoom_level)
    assert within is not None
    return [found.place for found in source.places(within)]


def tiles_of(source: RasterSource, places: Sequence[TilePlace]) -> dict[TilePlace, ImageryTile]:
    """The places that have ground; fails for one that has none where its raster should have some."""
    read = dict(zip(places, source.read(places), strict=True))
    assert not [one for one in read.values() if isinstance(one, Exception)]
    return {place: one for place, one in read.items() if isinstance(one, ImageryTile)}
