"""An index and a store: which indexed tiles the store does not hold."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.policies.index_agreement import LISTED_UNKNOWN, compare_index
from aerotile.domain.values.catalogue_entries import Keys
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource

ANY_TILE = st.one_of(
    st.builds(TileId, st.just(5), st.integers(0, 4), st.just(1), st.sampled_from(list(TileSource)[::2])),
    st.builds(
        TileId,
        st.just(5),
        st.integers(0, 4),
        st.just(1),
        st.just(TileSource.ONBOARD),
        st.sampled_from([UUID(int=number) for number in range(4)]),
    ),
)


def keys_of(tile_ids: list[TileId]) -> tuple[Keys, VariantTable]:
    variants = VariantTable.naming(tile_ids)
    return np.array([encode_tile_key(t, variants) for t in tile_ids], np.int64), variants


@given(st.lists(ANY_TILE, max_size=12), st.lists(ANY_TILE, max_size=12))
def test_exactly_the_tiles_that_the_store_lacks_are_counted_whatever_the_order_of_flights(
    indexed: list[TileId], stored: list[TileId]
) -> None:
    found = compare_index(*keys_of(indexed), keys_of(stored))
    unknown = set(indexed) - set(stored)
    assert (found.indexed_tiles, found.unknown_tiles) == (len(set(indexed)), len(unknown))
    assert set(found.listed) <= unknown
    assert len(found.listed) == min(len(unknown), LISTED_UNKNOWN)
    assert found.none_is_known is (bool(indexed) and not set(indexed) & set(stored))


@given(st.lists(ANY_TILE, max_size=12), st.lists(ANY_TILE, max_size=6), st.lists(ANY_TILE, max_size=6))
def test_a_tile_of_any_layer_is_known(
    indexed: list[TileId], made: list[TileId], sealed: list[TileId]
) -> None:
    found = compare_index(*keys_of(indexed), keys_of(made), keys_of(sealed))
    assert (found.indexed_tiles, found.unknown_tiles) == (
        len(set(indexed)),
        len(set(indexed) - set(made) - set(sealed)),
    )
