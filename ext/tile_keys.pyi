"""Tile keys in C. `aerotile.domain.values.tile_key` is the reference."""

from typing import final

import numpy as np
import numpy.typing as npt

from ..domain.values.descriptors import SearchHit
from ..domain.values.tile_key import VariantTable
from ..domain.values.tiles import TileId

@final
class TileKeyCodec:
    """Encodes and decodes the keys of one `VariantTable`."""

    def __init__(self, variants: VariantTable) -> None: ...
    @property
    def variants(self) -> VariantTable: ...
    def encode(self, tile_id: TileId) -> int: ...
    def decode(self, key: int) -> TileId: ...
    def decode_many(self, keys: npt.NDArray[np.int64]) -> list[TileId]: ...
    def nearest_hits(
        self,
        keys: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        distances: npt.NDArray[np.float32],
        count: int,
        k: int,
        *,
        ascending: bool,
        are_all: bool,
    ) -> list[SearchHit] | None: ...
