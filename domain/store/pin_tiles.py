"""Pin tiles by their ids, or lift their pins, as an operator does."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import TileNotFoundError
from ..ports.tile_metadata import SupportsPins
from ..ports.tile_rows import TileRows
from ..values.tiles import TileId


def pin_tiles(
    tile_ids: Sequence[TileId], *, pinned: bool, rows: TileRows, pins: SupportsPins
) -> list[TileId]:
    """Pin the tiles, which are then never evicted, or lift their pins; the tiles that this changed.

    When any tile has no row, no pin is changed. Each pin is durable on its own. Raises `TileNotFoundError`,
    `StoreUnavailableError`.
    """
    known = rows.committed_among(tile_ids)
    absent = [tile_id for tile_id in tile_ids if tile_id not in known]
    if absent:
        raise TileNotFoundError(*absent, remedy="leave it out; no pin was changed")
    before = set(pins.pinned_tiles())
    changed = [tile_id for tile_id in tile_ids if (tile_id in before) is not pinned]
    for tile_id in changed:
        pins.set_pinned(tile_id, pinned)
    return changed
