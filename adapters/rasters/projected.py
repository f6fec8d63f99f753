"""Points of one projection in another."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.warp import transform

from .errors import GDAL_ERRORS

Coordinates: TypeAlias = npt.NDArray[np.float64]

_FEWEST_POINTS = 64


def projected(
    source: CRS, target: CRS, x: npt.ArrayLike, y: npt.ArrayLike
) -> tuple[Coordinates, Coordinates]:
    """The points in another projection; infinite where it has no place for them, or for a near neighbour.

    GDAL refuses all points for one that has no place, so that they are halved until the others are found.
    """
    across, along = np.asarray(x, np.float64), np.asarray(y, np.float64)
    try:
        found = transform(source, target, across, along)
    except GDAL_ERRORS:
        if len(across) <= _FEWEST_POINTS:
            return np.full_like(across, np.inf), np.full_like(along, np.inf)
        half = len(across) // 2
        first = projected(source, target, across[:half], along[:half])
        second = projected(source, target, across[half:], along[half:])
        return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
    return np.asarray(found[0], np.float64), np.asarray(found[1], np.float64)
