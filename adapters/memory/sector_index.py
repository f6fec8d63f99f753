"""A sector index by linear scan."""

from __future__ import annotations

from collections.abc import Iterable

from ...domain.values.sectors import SectorBoundary
from ...domain.values.shapes import shares_point
from ...domain.values.tile_grid import Bbox


class MemorySectorIndex:
    """A `SectorIndex` by linear scan: for a handful of sectors, and the reference for faster indexes."""

    def __init__(self, sectors: Iterable[SectorBoundary]) -> None:
        self._sectors = tuple(sorted(sectors, key=lambda sector: sector.sector_id))

    def sectors_at(self, lat: float, lon: float) -> tuple[SectorBoundary, ...]:
        """The sectors whose shape holds the point (edges included), ordered by id.

        Raises `ValueError` for a point that is not on the globe.
        """
        return self.sectors_intersecting(Bbox.of_place(lat, lon))

    def sectors_intersecting(self, bbox: Bbox) -> tuple[SectorBoundary, ...]:
        """The sectors whose shape shares at least one point with the box, ordered by id."""
        return tuple(sector for sector in self._sectors if shares_point(sector.shape, bbox))
