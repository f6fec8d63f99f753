"""An index and a store: which indexed tiles the store does not hold."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.policies.index_agreement import (
    LISTED_UNKNOWN,
    DescribedContents,
    changed_tiles,
    compare_index,
)
from aerotile.domain.values.catalogue_entries import CatalogueColumns, Keys
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


@given(st.lists(ANY_TILE, max_size=12), st.lists(ANY_TILE, max_size=6), st.lists(ANY_TILE, max_size=6))
def test_stored_tiles_without_a_descriptor_are_counted_once_but_for_those_made_on_board(
    indexed: list[TileId], sealed: list[TileId], made: list[TileId]
) -> None:
    found = compare_index(*keys_of(indexed), keys_of(sealed), keys_of(made))
    of_map = {tile_id for tile_id in sealed + made if tile_id.source is not TileSource.ONBOARD}
    assert found.undescribed_tiles == len(of_map - set(indexed))
    assert set(found.undescribed_listed) <= of_map - set(indexed)
    assert len(found.undescribed_listed) == min(found.undescribed_tiles, LISTED_UNKNOWN)


A_DIGEST = st.sampled_from([bytes([number]) * 32 for number in range(2)])


def columns_of(stored: dict[TileId, bytes]) -> tuple[CatalogueColumns, VariantTable]:
    keys, variants = keys_of(list(stored))
    none, flags = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.uint8)
    digests = np.frombuffer(b"".join(stored.values()), np.uint8).reshape(-1, 32)
    return CatalogueColumns(keys, none, none, none, flags, digests), variants


@given(
    st.lists(st.tuples(ANY_TILE, A_DIGEST), max_size=12),
    st.sampled_from([8, 32]),
    st.dictionaries(ANY_TILE, A_DIGEST, max_size=8),
    st.dictionaries(ANY_TILE, A_DIGEST, max_size=8),
)
def test_exactly_the_tiles_described_from_other_bytes_than_the_first_layer_has_are_changed(
    described: list[tuple[TileId, bytes]],
    known_bytes: int,
    sealed: dict[TileId, bytes],
    made: dict[TileId, bytes],
) -> None:
    keys, variants = keys_of([tile_id for tile_id, _ in described])
    digests = np.frombuffer(b"".join(digest for _, digest in described), np.uint8).reshape(-1, 32)
    found = changed_tiles(
        DescribedContents(keys, variants, digests[:, :known_bytes]), [columns_of(sealed), columns_of(made)]
    )
    held = made | sealed
    changed = {tile_id for tile_id, digest in described if held.get(tile_id, digest) != digest}
    assert found.tiles == len(changed)
    assert set(found.listed) <= changed
    assert len(found.listed) == min(len(changed), LISTED_UNKNOWN)
