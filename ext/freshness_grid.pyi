"""The first sector over a tile, and the freshness verdict on it, in one call without a lock."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import final

import numpy as np
import numpy.typing as npt

from ..domain.policies.freshness import FreshnessVerdict, Rules
from ..domain.values.sectors import SectorBoundary, SectorClassification
from ..domain.values.tiles import TileId

@final
class SectorGrid:
    """Boxes and polygons of sectors in a fixed order, and which of them is the first over a tile."""

    sectors: tuple[SectorBoundary, ...]
    def __init__(
        self,
        sectors: tuple[SectorBoundary, ...],
        windows: npt.NDArray[np.int32],
        points: npt.NDArray[np.float64],
        children: npt.NDArray[np.int32],
        firsts: npt.NDArray[np.int32],
        starts: npt.NDArray[np.int32],
        candidates: npt.NDArray[np.int32],
        inside: npt.NDArray[np.uint8],
        line_starts: npt.NDArray[np.int32],
        lines: npt.NDArray[np.int32],
    ) -> None: ...
    def __len__(self) -> int: ...
    def first_over(self, tile_id: TileId) -> SectorBoundary | None:
        """The first sector whose shape shares a point with the tile's box, edges included."""

@final
class SectorGridJudge:
    """A `TileJudge` over one grid for each classification."""

    def __init__(
        self,
        grids: Mapping[SectorClassification, SectorGrid],
        rules: Rules,
        default_classification: SectorClassification,
        covers: Callable[[TileId], bool],
    ) -> None: ...
    def verdict_on(self, tile_id: TileId, captured_us: int, now: datetime) -> FreshnessVerdict:
        """The verdict on a tile captured at `captured_us`, in microseconds since 1970, as of `now`."""
