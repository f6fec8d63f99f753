"""Reads of committed tiles that wait for nothing."""

from collections.abc import Callable
from typing import Protocol, final

from ..domain.values.pixels import TilePixelHandle
from ..domain.values.tiles import TileId
from .catalogue import CompiledTileCatalogue
from .mapping_cache import CompiledMappingCache

class _Folder(Protocol):
    def fileno(self) -> int: ...

@final
class FastReader:
    """See `aerotile.domain.store.read_tile.FastReader`."""

    def __init__(
        self,
        root: _Folder,
        mapping_cache: CompiledMappingCache,
        catalogue: CompiledTileCatalogue,
        *,
        slow_read_pixels: Callable[[TileId], TilePixelHandle],
        slow_read_bytes: Callable[[TileId], bytes],
    ) -> None: ...
    def close(self) -> None: ...
    def check_by(self, check: Callable[[TileId], None] | None) -> None: ...
    def read_pixels(self, tile_id: TileId) -> TilePixelHandle: ...
    def read_bytes(self, tile_id: TileId) -> bytes: ...
