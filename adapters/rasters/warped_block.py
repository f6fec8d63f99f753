"""`BlockWarper`: the pixels of a square of neighbouring places, by GDAL's warper."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.vrt import WarpedVRT

from ...domain.values.tile_grid import EARTH_CIRCUMFERENCE_M
from .beside import OFFLINE
from .halved import Picture
from .raster_file import CACHE_MB, WEB_MERCATOR, RasterFile, open_dataset

_HALF = EARTH_CIRCUMFERENCE_M / 2
_ALPHA_MAX = {"uint16": 65535, "int16": 32767, "int8": 127}
"""What GDAL's warper writes where the raster is opaque; 255 for other types."""
_FINEST_SKIPPED = 2.0
"""Bilinear weights reach one pixel to each side, so up to this ratio no pixel of the raster is left out."""
_WARP_MEMORY_MB = 64


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
        options: dict[str, Any] = {"UNIFIED_SRC_NODATA": "YES"}  # one band of that value alone is ground
        if raster.plan.alpha is None:
            options |= {"add_alpha": True, "src_nodata": raster.nodata}
        if resolution <= read_resolution * _FINEST_SKIPPED:
            options |= {"XSCALE": 1, "YSCALE": 1}
        result: Picture | None = None
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB, **OFFLINE):
            dataset = self._dataset(overview)
            for turn in raster.turns:
                with WarpedVRT(
                    dataset,
                    src_transform=_moved(dataset.transform, turn),
                    crs=WEB_MERCATOR,
                    transform=Affine(resolution, 0.0, west, 0.0, -resolution, north),
                    width=tiles * self.tile_size,
                    height=tiles * self.tile_size,
                    resampling=Resampling.nearest if raster.plan.is_palette else Resampling.bilinear,
                    warp_mem_limit=_WARP_MEMORY_MB,
                    **options,
                ) as warped:
                    alpha = warped.colorinterp.index(ColorInterp.alpha) + 1
                    values = warped.read([*raster.plan.bands, alpha])
                result = _under(result, self._picture(values))
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

    def _picture(self, values: Any) -> Picture | None:
        raster = self.raster
        valid = values[-1] > _ALPHA_MAX.get(values.dtype.name, 255) // 2
        if not valid.any():
            return None
        planes = values[:-1]
        if raster.palette is not None:
            planes = np.ascontiguousarray(np.moveaxis(raster.palette[planes[0]], 2, 0))
        elif raster.scale is not None:
            planes = raster.scale.apply(planes)
        if valid.all():
            return Picture(planes, None)
        return Picture(planes * valid.view(np.uint8), valid)


def _moved(place: Affine, across: float) -> Affine:
    return Affine(place.a, place.b, place.c + across, place.d, place.e, place.f)


def _under(above: Picture | None, below: Picture | None) -> Picture | None:
    """Two pictures of one size as one: `above` wherever it shows ground."""
    if above is None or below is None or above.valid is None:
        return above or below
    planes = np.where(above.valid, above.planes, below.planes)
    valid = None if below.valid is None else above.valid | below.valid
    return Picture(planes, None if valid is None or valid.all() else valid)
