"""The digests of a base's tiles, for tools that compare and read no tile."""

from __future__ import annotations

import numpy as np

from ...domain.values.tile_key import encode_tile_key
from ...domain.values.tiles import TileId
from .facts import FACTS_ROW
from .mapped_base import MappedBase


class SealedContents:
    """See `KnownContents`. Every part of the facts is hashed first; raises `BaseUnavailableError`."""

    def __init__(self, base: MappedBase) -> None:
        self._keys = base.tile_keys()
        self._variants = base.signed.manifest.variants
        self._rows = np.frombuffer(memoryview(base.facts), FACTS_ROW)

    def content_sha256(self, tile_id: TileId) -> str | None:
        """The SHA-256 of the tile as it was sealed; None for a tile that the base does not hold."""
        if tile_id.flight_id is not None and tile_id.flight_id not in self._variants.flights:
            return None
        key = encode_tile_key(tile_id, self._variants)
        row = int(np.searchsorted(self._keys, key))
        if row == len(self._keys) or self._keys[row] != key:
            return None
        return bytes(self._rows[row]["sha256"].tobytes()).hex()
