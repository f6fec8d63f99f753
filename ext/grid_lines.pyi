"""Boxes of degrees as lines of the finest tile grid."""

import numpy as np
import numpy.typing as npt

def touched_lines(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """The lines between which a tile touches each box: west, north, east, south."""
