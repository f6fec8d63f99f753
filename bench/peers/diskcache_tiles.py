"""diskcache: SQLite for what is small, files beside it for what is large (32 KiB and more by default)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aerotile import TileId

_SIZE_LIMIT = 1 << 40
_FULL = 2  # SQLite's number for synchronous=FULL


def key(tile: TileId) -> tuple[int, int, int]:
    """Zoom, x, y."""
    return tile.zoom_level, tile.x, tile.y


def cache(path: Path, *, durable: bool = False) -> Any:
    """A cache without culling and statistics; `durable`: its SQLite syncs every commit."""
    import diskcache

    settings = {"sqlite_synchronous": _FULL} if durable else {}
    return diskcache.Cache(
        str(path), size_limit=_SIZE_LIMIT, eviction_policy="none", statistics=0, **settings
    )


def fanout_cache(path: Path) -> Any:
    """The same, sharded over 8 SQLite files."""
    import diskcache

    return diskcache.FanoutCache(
        str(path), shards=8, size_limit=_SIZE_LIMIT, eviction_policy="none", statistics=0
    )
