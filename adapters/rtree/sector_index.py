"""Which sectors cover a place, from an R-tree built once."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from rtree.index import Index

from ...domain.sectors import SectorBoundary
from ...domain.tile_grid import Bbox

_Entry = tuple[int, tuple[float, float, float, float], None]


class RtreeSectorIndex:
    """A `SectorIndex` over a bulk-loaded R-tree that is never changed afterwards.

    libspatialindex crashes the process when two threads ask one tree at once, even for reads, so every query
    holds a lock for the few microseconds that it takes.
    """

    def __init__(self, sectors: Iterable[SectorBoundary]) -> None:
        # The rank in this order is the id inside the tree, so sorted ids are sectors ordered by id.
        self._sectors = tuple(sorted(sectors, key=lambda sector: sector.sector_id))
        # A bulk load of nothing is an error in rtree.
        self._tree = Index(self._entries()) if self._sectors else Index()
        self._lock = threading.Lock()

    def sectors_at(self, lat: float, lon: float) -> tuple[SectorBoundary, ...]:
        """The sectors that hold the point (edges included), ordered by id.

        Raises `ValueError` for a place that is not on the globe.
        """
        return self.sectors_intersecting(Bbox(lat, lon, lat, lon))

    def sectors_intersecting(self, bbox: Bbox) -> tuple[SectorBoundary, ...]:
        """The sectors that share at least one point with the box, ordered by id."""
        with self._lock:
            ranks = sorted(self._tree.intersection(_coordinates(bbox), objects=False))
        return tuple(self._sectors[rank] for rank in ranks)

    def _entries(self) -> Iterator[_Entry]:
        for rank, sector in enumerate(self._sectors):
            yield rank, _coordinates(sector.bbox), None


def _coordinates(bbox: Bbox) -> tuple[float, float, float, float]:
    return bbox.min_lon, bbox.min_lat, bbox.max_lon, bbox.max_lat
