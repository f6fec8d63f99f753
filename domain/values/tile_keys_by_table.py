"""Tile keys by one table of flights as keys by another."""

from __future__ import annotations

import numpy as np

from .catalogue_entries import Keys
from .tile_key import FIRST_FLIGHT_ORDINAL, MAX_VARIANTS, VariantTable

_ORDINALS = np.int64(MAX_VARIANTS - 1)


def keys_by_table(keys: Keys, variants: VariantTable, other: VariantTable) -> Keys:
    """The keys of the same tiles by the table `other`; -1 for a tile whose flight it does not name."""
    ordinals = np.full(MAX_VARIANTS, -1, np.int64)
    ordinals[:FIRST_FLIGHT_ORDINAL] = range(FIRST_FLIGHT_ORDINAL)
    theirs = {flight: o for o, flight in enumerate(other.flights, FIRST_FLIGHT_ORDINAL)}
    for ordinal, flight in enumerate(variants.flights, FIRST_FLIGHT_ORDINAL):
        ordinals[ordinal] = theirs.get(flight, -1)
    renamed = ordinals[keys & _ORDINALS]
    by_other: Keys = np.where(renamed < 0, np.int64(-1), keys & ~_ORDINALS | renamed)
    return by_other
