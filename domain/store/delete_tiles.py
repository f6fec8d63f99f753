"""Delete tiles by their ids, as an operator does."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import TileNotFoundError
from ..ports.tile_rows import TileRows
from ..ports.tile_store import TileStore
from ..values.tiles import TileId


def delete_tiles(tile_ids: Sequence[TileId], *, rows: TileRows, store: TileStore) -> int:
    """Remove the tiles' rows, files and sidecars; returns the bytes freed.

    When any tile has no row, no tile is removed. A tile whose file is gone already is removed by its row.
    Each deletion is durable on its own. Raises `TileNotFoundError`, `StoreUnavailableError`.
    """
    absent = [tile_id for tile_id in tile_ids if rows.get(tile_id) is None]
    if absent:
        raise TileNotFoundError(*absent, remedy="leave it out; nothing was deleted")
    return sum(store.delete_tile(tile_id) for tile_id in tile_ids)
