"""Which sectors cover a place, from cells that an R-tree filled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ...domain.policies.freshness import Rules
from ...domain.ports.sector_index import TileJudge
from ...domain.values.sectors import SectorBoundary, SectorClassification
from ...domain.values.tile_grid import Bbox
from ...ext import SectorGrid, SectorGridJudge, touched_lines
from .cells import cells_of


class RtreeSectorIndex:
    """A `SectorIndex` with `SupportsJudging`, built once and never changed.

    libspatialindex crashes the process when two threads ask one tree at once, even for reads. So the R-tree
    is asked while this is built, by one thread; what answers afterwards is arrays, without a lock.
    """

    def __init__(self, sectors: Iterable[SectorBoundary]) -> None:
        self._sectors = tuple(sorted(sectors, key=lambda sector: sector.sector_id))
        self._boxes = _boxes(self._sectors)
        self._grids = {
            kind: _grid([sector for sector in self._sectors if sector.classification is kind])
            for kind in SectorClassification
        }

    def sectors_at(self, lat: float, lon: float) -> tuple[SectorBoundary, ...]:
        """The sectors that hold the point (edges included), ordered by id.

        Raises `ValueError` for a place that is not on the globe.
        """
        return self.sectors_intersecting(Bbox.of_place(lat, lon))

    def sectors_intersecting(self, bbox: Bbox) -> tuple[SectorBoundary, ...]:
        """The sectors that share at least one point with the box, ordered by id.

        Looks at all of them: 10 us for 1,000. To judge tiles in flight there is `judge`.
        """
        min_lat, min_lon, max_lat, max_lon = self._boxes.T
        found = (
            (min_lat <= bbox.max_lat)
            & (bbox.min_lat <= max_lat)
            & (min_lon <= bbox.max_lon)
            & (bbox.min_lon <= max_lon)
        )
        return tuple(self._sectors[place] for place in np.flatnonzero(found))

    def judge(self, rules: Rules, default_classification: SectorClassification) -> TileJudge:
        """See `SupportsJudging`. Raises `KeyError` when a classification has no rule."""
        return SectorGridJudge(self._grids, rules, default_classification)


def _boxes(sectors: Sequence[SectorBoundary]) -> npt.NDArray[np.float64]:
    corners = [(s.bbox.min_lat, s.bbox.min_lon, s.bbox.max_lat, s.bbox.max_lon) for s in sectors]
    return np.array(corners, np.float64).reshape(-1, 4)


def _grid(sectors: Sequence[SectorBoundary]) -> SectorGrid:
    lines = touched_lines(_boxes(sectors))
    cells = cells_of(lines)
    starts = np.concatenate([[0], np.cumsum(cells.counts)])
    arrays = (cells.children, cells.firsts, starts, cells.candidates)
    return SectorGrid(tuple(sectors), lines, *(array.astype(np.int32) for array in arrays))
