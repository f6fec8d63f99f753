"""GDAL's errors as one line."""

from __future__ import annotations

from pathlib import Path

from ...domain.errors import ImagerySourceError


def reason_of(error: BaseException) -> str:
    """The innermost reason that GDAL gives, on one line."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__


def refused(path: Path, what: str, remedy: str) -> ImagerySourceError:
    """A raster that can't be a source."""
    return ImagerySourceError(f"{path} {what}", remedy=remedy)
