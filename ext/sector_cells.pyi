"""Which sectors, and which lines of their polygons, matter in the cells of one level of a `SectorGrid`."""

import numpy as np
import numpy.typing as npt

_Ints = npt.NDArray[np.int64]

def narrowed(
    windows: npt.NDArray[np.int32],
    points: npt.NDArray[np.float64],
    level: int,
    columns: _Ints,
    rows: _Ints,
    settled: _Ints,
    cell: _Ints,
    source: _Ints,
    sector: _Ints,
    inside: npt.NDArray[np.uint8],
    starts: _Ints,
    lines: npt.NDArray[np.int32],
    from_outside: bool,
) -> tuple[_Ints, _Ints, _Ints, _Ints, npt.NDArray[np.uint8], _Ints, npt.NDArray[np.int32]]:
    """What matters in the cells of a level: new `settled, firsts, cell, sector, inside, starts, lines`."""
