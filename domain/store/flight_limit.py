"""The most flights that one store tells apart."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection
from uuid import UUID

from ..errors import TileMetadataError
from ..ports.tile_catalogue import TileCatalogue
from ..values.tile_key import MAX_FLIGHTS
from ..values.tiles import TileId


class FlightLimit:
    """Counts the flights of the catalogue and of the writes that this process has under way. Thread-safe.

    Two processes that write a new flight each at one instant may pass the limit: neither knows the other's
    yet. The later tile is then committed, left out of the catalogue and logged.
    """

    def __init__(self, catalogue: TileCatalogue) -> None:
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._tiles: set[TileId] = set()
        """Those whose flights are claimed."""
        self._flights: Counter[UUID] = Counter()
        """How many of them each flight has."""

    def claim(self, tile_id: TileId) -> None:
        """Keep a place for the tile's flight until `release`.

        Raises `TileMetadataError` for a tile that the catalogue could not enter once it is committed.
        """
        if tile_id.flight_id is None:
            return
        with self._lock:
            refuse_unnamable(self._catalogue, tile_id, self._flights.keys())
            if tile_id not in self._tiles:
                self._tiles.add(tile_id)
                self._flights[tile_id.flight_id] += 1

    def release(self, tile_id: TileId) -> None:
        """The tile is in the catalogue, or its write has failed."""
        if tile_id.flight_id is None:
            return
        with self._lock:
            if tile_id in self._tiles:
                self._tiles.remove(tile_id)
                self._flights[tile_id.flight_id] -= 1
                if not self._flights[tile_id.flight_id]:
                    del self._flights[tile_id.flight_id]


def refuse_unnamable(catalogue: TileCatalogue, tile_id: TileId, beside: Collection[UUID] = ()) -> None:
    """Raise `TileMetadataError` for a tile that the catalogue can't enter.

    The flights of `beside` are entered before the tile.
    """
    if not catalogue.can_name(tile_id, beside):
        raise TileMetadataError(
            f"tile {tile_id} is of one flight more than the {MAX_FLIGHTS} that a store tells apart",
            tile_id=tile_id,
            remedy="delete the tiles of flights that are long over, and open the store again",
        )
