"""Which sectors cover a place, from cells that an R-tree filled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ...domain.policies.freshness import Rules
from ...domain.ports.sector_index import TileJudge
from ...domain.values.sector_coverage import covers_tile
from ...domain.values.sectors import SectorBoundary, SectorClassification
from ...domain.values.shapes import parts_of, shares_point
from ...domain.values.tile_grid import Bbox
from ...domain.values.tiles import TileId
from ...ext import SectorGrid, SectorGridJudge
from .cells import Outlines, cells_of


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
        """The sectors whose shape holds the point (edges included), ordered by id.

        Raises `ValueError` for a place that is not on the globe.
        """
        return self.sectors_intersecting(Bbox.of_place(lat, lon))

    def sectors_intersecting(self, bbox: Bbox) -> tuple[SectorBoundary, ...]:
        """The sectors whose shape shares at least one point with the box, ordered by id.

        Looks at all of them: 10 us for 1,000. To judge tiles in flight there is `judge`.
        """
        min_lat, min_lon, max_lat, max_lon = self._boxes.T
        near = np.flatnonzero(
            (min_lat <= bbox.max_lat)
            & (bbox.min_lat <= max_lat)
            & (min_lon <= bbox.max_lon)
            & (bbox.min_lon <= max_lon)
        )
        found = (self._sectors[position] for position in near)
        return tuple(sector for sector in found if shares_point(sector.shape, bbox))

    def judge(self, rules: Rules, default_classification: SectorClassification) -> TileJudge:
        """See `SupportsJudging`. Raises `KeyError` when a classification has no rule."""
        return SectorGridJudge(self._grids, rules, default_classification, self._covers)

    def _covers(self, tile_id: TileId) -> bool:
        shapes = (sector.shape for sector in self.sectors_intersecting(tile_id.bbox))
        return covers_tile(shapes, tile_id.zoom_level, tile_id.x, tile_id.y)


def _boxes(sectors: Sequence[SectorBoundary]) -> npt.NDArray[np.float64]:
    boxes = [sector.bbox for sector in sectors]
    corners = [(box.min_lat, box.min_lon, box.max_lat, box.max_lon) for box in boxes]
    return np.array(corners, np.float64).reshape(-1, 4)


def _grid(sectors: Sequence[SectorBoundary]) -> SectorGrid:
    """A grid of the sectors' boxes and single polygons."""
    parts = [(sector, part) for sector in sectors for part in parts_of(sector.shape)]
    outlines = Outlines.of([part for _, part in parts])
    cells = cells_of(outlines)
    return SectorGrid(
        tuple(sector for sector, _ in parts),
        outlines.windows,
        outlines.points,
        cells.children.astype(np.int32),
        cells.firsts.astype(np.int32),
        _starts(cells.counts),
        cells.candidates.astype(np.int32),
        cells.inside,
        _starts(cells.line_counts),
        cells.lines,
    )


def _starts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
