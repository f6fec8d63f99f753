"""The contract of `TileStore`."""

from __future__ import annotations

from .batches import Batches
from .disagreeing_halves import DisagreeingHalves
from .evictions import Evictions
from .forks import Forks
from .mapping_cache_of_stores import MappingCacheOfStores
from .reads import Reads
from .recalled_tiles import RecalledTiles
from .replacement_races import ReplacementRaces
from .replacements import Replacements
from .subject import TileStoreSubject
from .writes import Writes


class TileStoreContract(
    Batches,
    DisagreeingHalves,
    Evictions,
    Forks,
    MappingCacheOfStores,
    Reads,
    RecalledTiles,
    ReplacementRaces,
    Replacements,
    Writes,
):
    """Holds Aerotile's own store over other rows and files, which have no tiles yet.

    Its tests compare rows and files with what the store answers, so the suite fits adapters of `TileRows`,
    `TileFiles`, `TileCatalogue` and `MappingCache`, each in concert with the rest.
    """


__all__ = ["TileStoreContract", "TileStoreSubject"]
