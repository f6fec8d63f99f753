"""What could make GDAL open other files for a GeoTIFF: sidecars that are no TIFFs, and names in metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...domain.errors import ImagerySourceError

TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OFFLINE = {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none"}
"""Options of GDAL under which it asks no server for a file."""
_SIDECARS = (".ovr", ".msk", ".msk.ovr", ".ovr.msk", ".ovr.ovr")
"""GDAL takes the format of these from their content."""


def check_sidecars(path: Path) -> None:
    """Raise `ImagerySourceError` for overviews or a mask beside the raster that are no TIFF."""
    names = {(path.name + ending).lower() for ending in _SIDECARS}
    for beside in path.absolute().parent.iterdir():
        if beside.name.lower() in names and beside.is_file():
            with beside.open("rb") as file:
                if not file.read(4).startswith(TIFF_HEADS):
                    raise ImagerySourceError(
                        f"{beside} lies beside a raster and is no TIFF",
                        remedy="remove it, or make it again with gdaladdo",
                    )


def check_names_no_file(path: Path, dataset: Any) -> None:
    """Raise `ImagerySourceError` where the raster's metadata name the file or address of its overviews."""
    if named := dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE"):
        raise ImagerySourceError(
            f"{path} names another file for its overviews, {named[:200]}, which is not opened",
            remedy="remove OVERVIEW_FILE from its metadata, and make overviews with gdaladdo",
        )
