"""Whether a descriptor index and a store belong together: which tiles one of them lacks or has otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from ..values.catalogue_entries import CatalogueColumns, Keys
from ..values.place_keys import translated_keys
from ..values.tile_key import FIRST_FLIGHT_ORDINAL, MAX_VARIANTS, VariantTable, decode_tile_key
from ..values.tiles import TileId

LISTED_UNKNOWN = 5
"""How many tiles of each kind an agreement names; its counts are always whole."""


@attrs.frozen
class IndexAgreement:
    """How many of an index's tiles a store holds, and the other way around."""

    indexed_tiles: int
    """Tiles in the index, each once."""
    unknown_tiles: int
    """Those among them that the store does not hold: a search finds them, and no pixels come."""
    listed: tuple[TileId, ...]
    """The first `LISTED_UNKNOWN` of the unknown tiles, in the order of their keys."""
    undescribed_tiles: int
    """Tiles of the store that no search finds. Those made on board don't count: they are never searched."""
    undescribed_listed: tuple[TileId, ...]
    """The first `LISTED_UNKNOWN` of them, layer by layer, in the order of their keys."""

    @property
    def none_is_known(self) -> bool:
        """Whether index and store have nothing in common, so that every lookup comes back empty."""
        return self.indexed_tiles > 0 and self.unknown_tiles == self.indexed_tiles


@attrs.frozen(eq=False)
class DescribedContents:
    """From which bytes each row of descriptors was made; keys may repeat, in any order."""

    keys: Keys
    variants: VariantTable
    digests: npt.NDArray[np.uint8]
    """The first bytes of the SHA-256 of each, of shape (n, 32) or fewer bytes a row."""


@attrs.frozen(eq=False)
class ChangedTiles:
    """Tiles whose descriptors were made from other bytes than can be read now."""

    keys: Keys
    """Of each once, ascending."""
    variants: VariantTable

    @classmethod
    def none(cls) -> ChangedTiles:
        """No tile."""
        return cls(np.zeros(0, np.int64), VariantTable())

    @property
    def tiles(self) -> int:
        """How many there are."""
        return len(self.keys)

    @property
    def listed(self) -> tuple[TileId, ...]:
        """The first `LISTED_UNKNOWN` of them, in the order of their keys."""
        return _first(self.keys, self.variants)


def compare_index(
    indexed: Keys, indexed_variants: VariantTable, *layers: tuple[Keys, VariantTable]
) -> IndexAgreement:
    """Compare the tile keys of an index with those of a store's layers. Keys may repeat, in any order."""
    keys = unknown = np.unique(indexed)
    undescribed = 0
    undescribed_listed: tuple[TileId, ...] = ()
    for position, (stored, stored_variants) in enumerate(layers):
        unknown = unknown[~known_among(unknown, indexed_variants, stored, stored_variants)]
        left = np.unique(stored[stored & (MAX_VARIANTS - 1) < FIRST_FLIGHT_ORDINAL])
        for others, variants in ((keys, indexed_variants), *layers[:position]):
            left = left[~known_among(left, stored_variants, others, variants)]
        undescribed += len(left)
        undescribed_listed += _first(left, stored_variants)
    return IndexAgreement(
        len(keys),
        len(unknown),
        _first(unknown, indexed_variants),
        undescribed,
        undescribed_listed[:LISTED_UNKNOWN],
    )


def changed_tiles(
    contents: DescribedContents, layers: Sequence[tuple[CatalogueColumns, VariantTable]]
) -> ChangedTiles:
    """The described tiles whose digest is not that of the first layer that holds them.

    A tile that no layer holds is not changed: `compare_index` counts it.
    """
    described, variants, digests = contents.keys, contents.variants, contents.digests
    known_bytes = digests.shape[1]
    differs, waiting = np.zeros(len(described), np.bool_), np.ones(len(described), np.bool_)
    for columns, stored_variants in layers:
        known, rows = _rows_among(described, variants, columns.keys, stored_variants)
        held = waiting & known
        differs[held] = (columns.content_sha256[rows[held], :known_bytes] != digests[held]).any(axis=1)
        waiting &= ~held
    return ChangedTiles(np.unique(described[differs]), variants)


def known_among(
    keys: Keys, variants: VariantTable, stored: Keys, stored_variants: VariantTable
) -> npt.NDArray[np.bool_]:
    """Which of the keys name a tile that is among `stored`, whose keys are by a table of their own."""
    return _rows_among(keys, variants, stored, stored_variants)[0]


def _rows_among(
    keys: Keys, variants: VariantTable, stored: Keys, stored_variants: VariantTable
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Which of the keys are among `stored`, and in which row where they are."""
    translated = translated_keys(keys, variants, stored_variants)
    if not len(stored):
        return np.zeros(len(keys), np.bool_), np.zeros(len(keys), np.intp)
    # Keys of a catalogue ascend: sorting and searching them takes a tenth of the time of `numpy.isin`.
    order = np.argsort(stored, kind="stable")
    ordered = stored[order]
    rows = np.minimum(np.searchsorted(ordered, translated), len(ordered) - 1)
    known: npt.NDArray[np.bool_] = (translated >= 0) & (ordered[rows] == translated)
    return known, order[rows]


def _first(keys: Keys, variants: VariantTable) -> tuple[TileId, ...]:
    return tuple(decode_tile_key(key, variants) for key in keys[:LISTED_UNKNOWN].tolist())
