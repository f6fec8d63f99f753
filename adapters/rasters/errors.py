"""GDAL's errors as one line."""

from __future__ import annotations

from pathlib import Path

from rasterio._err import CPLE_BaseError  # no public module has it
from rasterio.errors import CRSError, RasterioError

from ...domain.errors import ImagerySourceError

GDAL_ERRORS = (RasterioError, CRSError, CPLE_BaseError)
"""What rasterio raises for files that GDAL can't read, and for places that PROJ doesn't know."""


def reason_of(error: BaseException) -> str:
    """The innermost reason that GDAL gives, on one line."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__


def refused(path: Path, what: str, remedy: str) -> ImagerySourceError:
    """A raster that can't be a source."""
    return ImagerySourceError(f"{path} {what}", remedy=remedy)
