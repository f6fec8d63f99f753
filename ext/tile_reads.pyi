"""Reading a tile file's bytes once, and asking whether the file exists."""

from ..domain.values.tiles import TileId

def opens_cached_files_at_once(directory: int) -> bool:
    """Whether the folder's file system opens a cached file without asking a server."""

def read_tile(directory: int, tile_id: TileId) -> bytes:
    """The content of a tile's file below the folder `directory`. Raises `OSError`."""

def read_cached_tile(directory: int, tile_id: TileId) -> bytes | None:
    """`read_tile` that waits for no disk; None when the caches do not have all of it."""

def tile_is_there(directory: int, tile_id: TileId) -> bool:
    """Whether the tile's file is a regular file below the folder `directory`. Raises `OSError`."""
