"""Keys of many places at a time are those of the tiles there."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.place_keys import place_keys
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource


@given(st.integers(0, 22), st.data())
def test_the_keys_of_places_are_those_of_tiles_of_the_first_variant(zoom: int, data: st.DataObject) -> None:
    numbers = st.integers(0, (1 << zoom) - 1)
    places = data.draw(st.lists(st.tuples(numbers, numbers), max_size=20))
    x, y = np.array(places, np.int64).reshape(-1, 2).T
    tiles = [TileId(zoom, *place, TileSource.SATELLITE_PROVIDER) for place in places]
    assert place_keys(zoom, x, y).tolist() == [encode_tile_key(tile, VariantTable()) for tile in tiles]
