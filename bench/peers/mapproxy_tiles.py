"""MapProxy's caches: a folder of files, and MBTiles."""

from __future__ import annotations

import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from aerotile import TileId


def coordinate(tile: TileId) -> tuple[int, int, int]:
    """x, y, zoom."""
    return tile.x, tile.y, tile.zoom_level


def file_cache(path: Path) -> Any:
    """Files in the layout z/x/y, as ours."""
    from mapproxy.cache.file import FileCache

    return FileCache(str(path), "jpg", directory_layout="tms")


def mbtiles_cache(path: Path) -> Any:
    """MBTiles in WAL mode."""
    from mapproxy.cache.mbtiles import MBTilesCache

    return MBTilesCache(str(path), wal=True)


def new_tile(tile: TileId, pixels: bytes | None = None) -> Any:
    """MapProxy's own tile object, encoded as it is, so that nothing is decoded on the way in."""
    from mapproxy.cache.tile import Tile
    from mapproxy.image import ImageResult
    from mapproxy.image.opts import ImageOptions

    if pixels is None:
        return Tile(coordinate(tile))
    return Tile(coordinate(tile), ImageResult(BytesIO(pixels), image_opts=ImageOptions(format="image/jpeg")))


def put_all(cache: Any, tiles: Iterable[tuple[TileId, bytes]]) -> None:
    """Store tiles one by one."""
    for tile, pixels in tiles:
        cache.store_tile(new_tile(tile, pixels))


def load(cache: Any, tile: TileId) -> bytes:
    """The bytes of a stored tile."""
    loaded = new_tile(tile)
    if not cache.load_tile(loaded):
        raise KeyError(str(tile))
    content: bytes = loaded.image_result_buffer().read()
    return content


def sync_file(path: str) -> None:
    """What it leaves out and a durable write needs: the file and its folder on the disk."""
    for name, flags in ((path, os.O_RDONLY), (os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)):  # noqa: PTH120
        descriptor = os.open(name, flags)
        os.fsync(descriptor)
        os.close(descriptor)
