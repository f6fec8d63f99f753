"""The digests of a base's tiles, for tools that compare and read no tile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...domain.values.tile_key import decode_tile_key, encode_tile_key
from ...domain.values.tiles import TileId
from .facts import FACTS_ROW
from .mapped_base import MappedBase


class SealedContents:
    """See `KnownContents`. Every part of the facts is hashed first; raises `BaseUnavailableError`."""

    def __init__(self, base: MappedBase) -> None:
        self._keys = base.tile_keys()
        self._variants = base.signed.manifest.variants
        self._datasets = [sealed.dataset.name for sealed in base.signed.manifest.datasets]
        self._rows = np.frombuffer(memoryview(base.facts), FACTS_ROW)

    def content_sha256(self, tile_id: TileId) -> str | None:
        """The SHA-256 of the tile as it was sealed; None for a tile that the base does not hold."""
        row = self._row(tile_id)
        return None if row is None else bytes(row["sha256"].tobytes()).hex()

    def captured_us(self, tile_id: TileId) -> int | None:
        """The capture time as it was sealed, microseconds since 1970; None for a tile not in the base."""
        row = self._row(tile_id)
        return None if row is None else int(row["captured_us"])

    def facts(self) -> Iterator[tuple[TileId, int, str]]:
        """Each tile with its capture time and its SHA-256."""
        for row in self._rows:
            tile_id = decode_tile_key(int(row["key"]), self._variants)
            yield tile_id, int(row["captured_us"]), row["sha256"].tobytes().hex()

    def digests_of_dataset(self, name: str) -> Iterator[str]:
        """The SHA-256 of each tile of a dataset; none where the base has no such dataset."""
        if name in self._datasets:
            of_it = self._rows["dataset"] == self._datasets.index(name) + 1
            for sha256 in self._rows["sha256"][of_it]:
                yield sha256.tobytes().hex()

    def _row(self, tile_id: TileId) -> np.void | None:
        if tile_id.flight_id is not None and tile_id.flight_id not in self._variants.flights:
            return None
        key = encode_tile_key(tile_id, self._variants)
        row = int(np.searchsorted(self._keys, key))
        if row == len(self._keys) or self._keys[row] != key:
            return None
        found: np.void = self._rows[row]
        return found
