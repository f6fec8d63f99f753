"""Lays out the cells of a `SectorGrid` so that an answer looks at few places of memory."""

import numpy as np
import numpy.typing as npt

_Ints = npt.NDArray[np.int32]

def laid_out(
    windows: _Ints,
    points: npt.NDArray[np.float64],
    children: _Ints,
    firsts: _Ints,
    starts: _Ints,
    candidates: _Ints,
    inside: npt.NDArray[np.uint8],
    line_starts: _Ints,
    lines: _Ints,
) -> tuple[_Ints, _Ints, _Ints, int, int, int]:
    """The arrays of a `SectorGrid` as it asks them: words of cells, words of leaves, and the short cut."""
