"""The tiles that can be read in flight, layer by layer, with what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from ..policies.index_agreement import known_among
from ..values.catalogue_entries import Keys
from ..values.tile_key import MAX_VARIANTS, VariantTable, decode_tile_key
from ..values.tiles import TileId

WHOLE, NOT_CHECKED, DAMAGED = 0, 1, 2
"""The digest was checked since the tile's last change; it was not; it was another one."""

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


@attrs.frozen(eq=False)
class HeldTiles:
    """The tiles of one layer: a sealed base, or a store. Arrays of one length, ascending by key.

    Raises `ValueError` for arrays that don't fit together or don't ascend.
    """

    layer: str
    """Its name for a person: `base`, `store`."""
    keys: Keys
    variants: VariantTable
    """The table that decodes the keys."""
    captured_us: Integers
    """Microseconds since 1970."""
    wholeness: npt.NDArray[np.uint8]
    """`WHOLE`, `NOT_CHECKED` or `DAMAGED`."""
    decode: Callable[[Keys], list[TileId]] = attrs.field()
    """Decodes keys of this layer."""

    @decode.default
    def _reference_decoder(self) -> Callable[[Keys], list[TileId]]:
        return lambda keys: [decode_tile_key(key, self.variants) for key in keys.tolist()]

    def __attrs_post_init__(self) -> None:
        if not len(self.keys) == len(self.captured_us) == len(self.wholeness):
            raise ValueError("a layer has one capture time and one wholeness for each key")
        if (self.keys[1:] <= self.keys[:-1]).any():
            raise ValueError("the keys of a layer ascend, each once")

    def without(self, first: HeldTiles) -> HeldTiles:
        """The tiles that are no twins of tiles of a layer in front of this one."""
        return self.at(~known_among(self.keys, self.variants, first.keys, first.variants))

    def at(self, kept: Booleans) -> HeldTiles:
        """The tiles that `kept` marks."""
        return attrs.evolve(
            self, keys=self.keys[kept], captured_us=self.captured_us[kept], wholeness=self.wholeness[kept]
        )


@attrs.frozen(eq=False)
class IndexedTiles:
    """Which tiles the descriptor index in use holds."""

    keys: Keys
    """In any order; a tile may come several times."""
    variants: VariantTable


@attrs.frozen(eq=False)
class Candidates:
    """The tiles that lie at places; arrays of one length, in the order of the places."""

    place: Integers
    """The position of the tile's place among the places that were asked for."""
    wholeness: npt.NDArray[np.uint8]
    captured_us: Integers
    indexed: Booleans
    tile_ids: list[TileId]

    @classmethod
    def at(cls, places: Keys, layers: Sequence[HeldTiles], index: IndexedTiles | None) -> Candidates:
        """The tiles of all layers at the places, which ascend. A twin in a later layer is left out."""
        parts = []
        first: HeldTiles | None = None
        for layer in layers:
            if first is not None:
                layer = layer.without(first)
            first = layer if first is None else first
            begins = np.searchsorted(layer.keys, places)
            counts = np.searchsorted(layer.keys, places + MAX_VARIANTS) - begins
            place = np.repeat(np.arange(len(places)), counts)
            row = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts - begins, counts)
            keys = layer.keys[row]
            indexed = (
                np.zeros(len(keys), np.bool_)
                if index is None
                else known_among(keys, layer.variants, index.keys, index.variants)
            )
            parts.append((place, layer.wholeness[row], layer.captured_us[row], indexed, layer.decode(keys)))
        if not parts:
            nothing = np.zeros(0, np.int64)
            return cls(nothing, np.zeros(0, np.uint8), nothing, np.zeros(0, np.bool_), [])
        place, wholeness, captured_us, indexed = (
            np.concatenate([part[column] for part in parts]) for column in range(4)
        )
        tile_ids = [tile_id for part in parts for tile_id in part[4]]
        if len(parts) == 1:
            return cls(place, wholeness, captured_us, indexed, tile_ids)
        order = np.argsort(place, kind="stable")
        tile_ids = [tile_ids[position] for position in order.tolist()]
        return cls(place[order], wholeness[order], captured_us[order], indexed[order], tile_ids)
