"""Reads of committed tiles that wait for nothing."""

from collections.abc import Callable
from typing import Protocol, final

from ..domain.ports import TilePixelHandle
from ..domain.tiles import TileId
from .catalogue import CompiledTileCatalogue
from .kept_mappings import KeptMappings

class _Folder(Protocol):
    def fileno(self) -> int: ...

@final
class ReadsAtOnce:
    """See `aerotile.domain.read_tiles.ReadsAtOnce`."""

    def __init__(
        self,
        root: _Folder,
        kept: KeptMappings,
        catalogue: CompiledTileCatalogue,
        *,
        pixels_otherwise: Callable[[TileId], TilePixelHandle],
        bytes_otherwise: Callable[[TileId], bytes],
    ) -> None: ...
    def close(self) -> None: ...
    def read_pixels(self, tile_id: TileId) -> TilePixelHandle: ...
    def read_bytes(self, tile_id: TileId) -> bytes: ...
