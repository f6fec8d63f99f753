"""lmdb: one memory-mapped B-tree, values are the tiles."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aerotile import TileId

MAP_BYTES = 8 << 30


def key(tile: TileId) -> bytes:
    """Zoom, x, y; big-endian, so that the B-tree is in order."""
    return struct.pack(">BII", tile.zoom_level, tile.x, tile.y)


def environment(path: Path, *, durable: bool) -> Any:
    """An open environment; `durable`: every commit is synced, which is its default."""
    import lmdb

    return lmdb.open(
        str(path),
        map_size=MAP_BYTES,
        subdir=False,
        sync=durable,
        metasync=durable,
        readahead=False,
        max_readers=64,
    )


def put_all(opened: Any, tiles: Iterable[tuple[TileId, bytes]]) -> None:
    """Store tiles in one transaction."""
    with opened.begin(write=True) as transaction:
        for tile, pixels in tiles:
            transaction.put(key(tile), pixels)
