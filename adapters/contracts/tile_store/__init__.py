"""The contract of `TileStore`."""

from __future__ import annotations

from .batches import Batches
from .disagreeing_halves import DisagreeingHalves
from .evictions import Evictions
from .mapping_cache_of_stores import MappingCacheOfStores
from .reads import Reads
from .subject import TileStoreSubject
from .writes import Writes


class TileStoreContract(Batches, DisagreeingHalves, Evictions, MappingCacheOfStores, Reads, Writes):
    """Holds the store over rows and files that have no tiles."""


__all__ = ["TileStoreContract", "TileStoreSubject"]
