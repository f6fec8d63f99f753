"""Reading tile files' bytes once, and asking whether a file exists."""

from collections.abc import Iterable

from ..domain.values.tiles import TileId

def opens_cached_files_at_once(directory: int) -> bool:
    """Whether the folder's file system opens a cached file without asking a server."""

def read_tile(directory: int, tile_id: TileId) -> bytes:
    """The content of a tile's file below the folder `directory`. Raises `OSError`."""

def read_hashed(directory: int, tile_ids: Iterable[TileId]) -> list[tuple[bytes, bytes] | OSError]:
    """The content of many tiles' files and its SHA-256, most of it without the GIL.

    Entry i is the pair of tile i, or the `OSError` that `read_tile` raises. So many files are open at once.
    """

def read_cached_tile(directory: int, tile_id: TileId) -> bytes | None:
    """`read_tile` that waits for no disk; None when the caches do not have all of it."""

def tile_is_there(directory: int, tile_id: TileId) -> bool:
    """Whether the tile's file is a regular file below the folder `directory`. Raises `OSError`."""
