"""Look-ups and reads in the facts and the archive of a sealed base."""

from collections.abc import Callable
from typing import final

from ..domain.values.catalogue_entries import CatalogueMatches
from ..domain.values.pixels import TilePixelHandle
from ..domain.values.tile_key import VariantTable
from ..domain.values.tiles import TileId
from .mapped_pixels import MappedPixels

FACTS_ROW_BYTES: int

@final
class SealedTiles:
    """The tiles of a mapped base."""

    count: int

    def __init__(
        self,
        facts: MappedPixels,
        archive: MappedPixels,
        variants: VariantTable,
        first_keys: bytes,
        *,
        part_rows: int,
        data_offset: int,
        check_part: Callable[[int], None],
        check_tile: Callable[[int], None],
        otherwise: Callable[[TileId], TilePixelHandle],
    ) -> None: ...
    def read_pixels(self, tile_id: TileId) -> TilePixelHandle: ...
    def forget_checks(self) -> None: ...
    def raw_pixels(self, row: int) -> MappedPixels: ...
    def row_at(self, tile_id: TileId) -> int | None: ...
    def query(self, zoom_level: int, min_x: int, min_y: int, max_x: int, max_y: int) -> CatalogueMatches: ...
    def touch_rows(self, begin: int, end: int) -> None: ...
    def captured_us(self, tile_id: TileId) -> int | None: ...
    def content_sha256(self, tile_id: TileId) -> str | None: ...
    def __contains__(self, tile_id: TileId) -> bool: ...
    def __len__(self) -> int: ...
