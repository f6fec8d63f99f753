"""What lies around a descriptor search: the check of its query, and its answer as tiles."""

from typing import Any, final

import numpy as np
import numpy.typing as npt

from ..domain.values.descriptors import SearchHit
from ..domain.values.tile_key import VariantTable

def is_finite_descriptor(descriptor: Any, dimension: int) -> bool: ...

@final
class HitReader:
    """Reads the rows that a graph answers with as tiles."""

    def __init__(self, variants: VariantTable, keys: npt.NDArray[np.int64]) -> None: ...
    def hits(self, rows: npt.NDArray[np.int64], distances: npt.NDArray[np.float32]) -> list[SearchHit]: ...
