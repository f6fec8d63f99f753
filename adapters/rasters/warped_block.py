"""`BlockWarper`: the pixels of a square of neighbouring places, by GDAL's warper."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import attrs
import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject

from ...domain.values.tile_grid import EARTH_CIRCUMFERENCE_M
from ..halved_pictures import Picture
from .beside import OFFLINE
from .raster_file import CACHE_MB, WEB_MERCATOR, RasterFile, open_dataset

_HALF = EARTH_CIRCUMFERENCE_M / 2
_ALPHA_MAX = {"uint16": 65535, "int16": 32767, "int8": 127}
"""What GDAL's warper writes where the raster is opaque; 255 for other types."""
_FINEST_SKIPPED = 2.0
"""Bilinear weights reach one pixel to each side, so up to this ratio no pixel of the raster is left out."""
_WARP_MEMORY_MB = 64
_IN_MEMORY = "/vsimem/block"
"""A name, for GDAL's driver of rasters in memory keeps none; no file of the machine has it."""


@attrs.define(eq=False)
class BlockWarper:
    """Warps blocks of one raster; from any number of threads, each with handles of its own."""

    raster: RasterFile
    tile_size: int
    _local: threading.local = attrs.field(factory=threading.local, init=False)
    _opened: list[Any] = attrs.field(factory=list, init=False)

    def warp(self, zoom_level: int, x: int, y: int, tiles: int) -> Picture | None:
        """The square of `tiles` by `tiles` places from a place on; None where the raster has no ground.

        Raises `RasterioError` for blocks of the file that can't be read.
        """
        raster = self.raster
        resolution = EARTH_CIRCUMFERENCE_M / (self.tile_size << zoom_level)
        west = -_HALF + x * self.tile_size * resolution
        north = _HALF - y * self.tile_size * resolution
        overview = raster.overview_for(resolution)
        read_resolution = raster.metres_per_pixel * (1 if overview is None else raster.overviews[overview])
        scaling = {"XSCALE": 1, "YSCALE": 1} if resolution <= read_resolution * _FINEST_SKIPPED else {}
        bands = list(raster.plan.bands)
        side = tiles * self.tile_size
        target = {
            "width": side,
            "height": side,
            "count": len(bands) + 1,
            "crs": WEB_MERCATOR,
            "transform": Affine(resolution, 0.0, west, 0.0, -resolution, north),
        }
        result: Picture | None = None
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB, **OFFLINE):
            dataset = self._dataset(overview)
            for turn in raster.turns:
                with ExitStack() as stack:
                    placed = stack.enter_context(_moved(dataset, raster, turn)) if turn else dataset
                    warped = stack.enter_context(
                        rasterio.open(_IN_MEMORY, "w+", driver="MEM", dtype=dataset.dtypes[0], **target)
                    )
                    # All bands in one pass; a `WarpedVRT` warps them one by one.
                    reproject(
                        rasterio.band(placed, bands),
                        rasterio.band(warped, [*range(1, len(bands) + 1)]),
                        src_nodata=raster.nodata if raster.plan.alpha is None and not turn else None,
                        src_alpha=raster.plan.alpha or (placed.count if turn else 0),
                        dst_alpha=len(bands) + 1,
                        resampling=Resampling.nearest if raster.plan.is_palette else Resampling.bilinear,
                        warp_mem_limit=_WARP_MEMORY_MB,
                        **scaling,
                    )
                    values = warped.read()
                result = _under(result, self._picture(values[:-1], values[-1]))
        return result

    def close(self) -> None:
        """Close every handle; no thread warps any more."""
        while self._opened:
            self._opened.pop().close()

    def _dataset(self, overview: int | None) -> Any:
        if not hasattr(self._local, "handles"):
            self._local.handles = {}
        handles: dict[int | None, Any] = self._local.handles
        if overview not in handles:
            handles[overview] = open_dataset(self.raster.path, overview)
            self._opened.append(handles[overview])
        return handles[overview]

    def _picture(self, planes: Any, alpha: Any) -> Picture | None:
        raster = self.raster
        valid = alpha > _ALPHA_MAX.get(alpha.dtype.name, 255) // 2
        if not valid.any():
            return None
        if raster.palette is not None:
            planes = np.ascontiguousarray(np.moveaxis(raster.palette[planes[0]], 2, 0))
        elif raster.scale is not None:
            planes = raster.scale.apply(planes)
        if valid.all():
            return Picture(planes, None)
        return Picture(planes * valid.view(np.uint8), valid)


def _moved(dataset: Any, raster: RasterFile, across: float) -> Any:
    """The raster moved by so much of its first coordinate, its opacity as the last band."""
    place = dataset.transform
    moved = Affine(place.a, place.b, place.c + across, place.d, place.e, place.f)
    opacity = {} if raster.plan.alpha is not None else {"add_alpha": True, "src_nodata": raster.nodata}
    return WarpedVRT(
        dataset,
        src_transform=moved,
        crs=dataset.crs,
        transform=moved,
        width=dataset.width,
        height=dataset.height,
        resampling=Resampling.nearest,
        **opacity,
    )


def _under(above: Picture | None, below: Picture | None) -> Picture | None:
    """Two pictures of one size as one: `above` wherever it shows ground."""
    if above is None or below is None or above.valid is None:
        return above or below
    planes = np.where(above.valid, above.planes, below.planes)
    valid = None if below.valid is None else above.valid | below.valid
    return Picture(planes, None if valid is None or valid.all() else valid)
