"""A tile file mapped read-only into memory."""

from types import TracebackType
from typing import final

from ..domain.values.pixels import TilePixelHandle
from ..domain.values.tiles import TileId

def open_beneath(directory: int, path: str, flags: int) -> int:
    """Open `path` below the folder `directory`, following no symbolic link. Raises `OSError`."""

def map_tile(directory: int, tile_id: TileId) -> MappedPixels:
    """Map a tile's file below the folder `directory`, all of it in memory. Raises `OSError`."""

def map_cached_tile(directory: int, tile_id: TileId) -> MappedPixels | None:
    """`map_tile` that waits for no disk; None when the caches do not have the whole path."""

def map_file(descriptor: int) -> MappedPixels:
    """Map an open regular file as it is; no page is read yet. Raises `OSError`."""

@final
class MappedPixels(TilePixelHandle):  # registered as one
    """The bytes of one file as a read-only buffer."""

    @property
    def nbytes(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def was_resident(self) -> bool: ...
    def share(self) -> MappedPixels: ...
    def part(self, offset: int, length: int) -> MappedPixels: ...
    @property
    def is_resident(self) -> bool: ...
    def prefault(self) -> None: ...
    def lock(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> MappedPixels: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
