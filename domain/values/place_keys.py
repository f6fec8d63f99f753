"""Tile keys of many places at a time; `tile_key` is the reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .catalogue_entries import Keys
from .tile_key import FIRST_FLIGHT_ORDINAL, MAX_VARIANTS, MORTON_BITS, VARIANT_BITS, VariantTable

_STEPS = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def place_keys(zoom_level: int, x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> Keys:
    """The keys of places of one zoom, with the variant 0: the least keys that tiles there can have."""
    curve = _spread(x) | _spread(y) << 1
    keys: Keys = (np.int64(zoom_level) << MORTON_BITS | curve) << VARIANT_BITS
    return keys


def translated_keys(keys: Keys, variants: VariantTable, other: VariantTable) -> Keys:
    """The keys of the same tiles by another table; -1 for a tile whose flight that table does not name."""
    ordinals = np.full(MAX_VARIANTS, -1, np.int64)
    ordinals[:FIRST_FLIGHT_ORDINAL] = range(FIRST_FLIGHT_ORDINAL)
    theirs = {flight: o for o, flight in enumerate(other.flights, FIRST_FLIGHT_ORDINAL)}
    for ordinal, flight in enumerate(variants.flights, FIRST_FLIGHT_ORDINAL):
        ordinals[ordinal] = theirs.get(flight, -1)
    ordinal_of = ordinals[keys & (MAX_VARIANTS - 1)]
    translated: Keys = np.where(ordinal_of >= 0, keys & ~np.int64(MAX_VARIANTS - 1) | ordinal_of, -1)
    return translated


def _spread(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    for shift, mask in _STEPS:
        values = (values | values << shift) & mask
    return values
