"""The most flights that one store tells apart."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from ..errors import TileMetadataError
from ..ports.tile_catalogue import TileCatalogue
from ..values.tile_key import MAX_FLIGHTS
from ..values.tiles import TileId


def refuse_unnamable(catalogue: TileCatalogue, tile_id: TileId, beside: Collection[UUID] = ()) -> None:
    """Raise `TileMetadataError` for a tile that the catalogue could not enter once it is committed.

    The flights of `beside` are entered before the tile.
    """
    if not catalogue.can_name(tile_id, beside):
        raise TileMetadataError(
            f"tile {tile_id} is of one flight more than the {MAX_FLIGHTS} that a store tells apart",
            tile_id=tile_id,
            remedy="delete the tiles of flights that are long over, and open the store again",
        )
