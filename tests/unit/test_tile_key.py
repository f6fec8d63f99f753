"""Tile keys: one signed 64-bit integer per tile that sorts as the map does and decodes without a database."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.tile_grid import MAX_ZOOM
from aerotile.domain.values.tile_key import (
    MAX_VARIANTS,
    VariantTable,
    decode_tile_key,
    encode_tile_key,
    morton,
)
from aerotile.domain.values.tiles import TileId, TileSource

FLIGHTS = tuple(UUID(int=number) for number in range(1, 6))
TABLE = VariantTable(FLIGHTS)


@st.composite
def tile_ids(draw: st.DrawFn, zoom: int | None = None) -> TileId:
    zoom_level = draw(st.integers(0, MAX_ZOOM)) if zoom is None else zoom
    coordinate = st.integers(0, (1 << zoom_level) - 1)
    source = draw(st.sampled_from(TileSource))
    flight = draw(st.sampled_from(FLIGHTS)) if source is TileSource.ONBOARD else None
    return TileId(zoom_level, draw(coordinate), draw(coordinate), source, flight)


def curve_position(x: int, y: int) -> int:
    """The Z-curve position, one bit at a time as its definition has it."""
    return sum((x >> bit & 1) << 2 * bit | (y >> bit & 1) << 2 * bit + 1 for bit in range(MAX_ZOOM))


@given(tile_ids())
def test_a_key_decodes_to_the_tile_that_it_was_made_from(tile_id: TileId) -> None:
    assert decode_tile_key(encode_tile_key(tile_id, TABLE), TABLE) == tile_id


@pytest.mark.parametrize("zoom", range(MAX_ZOOM + 1))
def test_the_corner_tiles_of_every_zoom_survive_the_round_trip(zoom: int) -> None:
    last = (1 << zoom) - 1
    for x, y in ((0, 0), (0, last), (last, 0), (last, last)):
        tile_id = TileId(zoom, x, y, TileSource.SATELLITE_PROVIDER)
        assert decode_tile_key(encode_tile_key(tile_id, TABLE), TABLE) == tile_id


@given(tile_ids())
def test_a_key_fits_a_signed_64_bit_integer_and_is_never_negative(tile_id: TileId) -> None:
    assert 0 <= encode_tile_key(tile_id, TABLE) < 1 << 63


def test_the_largest_key_leaves_the_sign_bit_clear() -> None:
    last = (1 << MAX_ZOOM) - 1
    table = VariantTable(tuple(UUID(int=number) for number in range(1, MAX_VARIANTS - 1)))
    tile_id = TileId(MAX_ZOOM, last, last, TileSource.ONBOARD, table.flights[-1])
    key = encode_tile_key(tile_id, table)
    assert key == 22 << 58 | ((1 << 58) - 1)
    assert decode_tile_key(key, table) == tile_id


@given(tile_ids(), tile_ids())
def test_keys_sort_by_zoom_then_along_the_z_curve_then_by_variant(one: TileId, other: TileId) -> None:
    def order(tile_id: TileId) -> tuple[int, int, int]:
        ordinal = TABLE.ordinal(tile_id.source, tile_id.flight_id)
        return tile_id.zoom_level, curve_position(tile_id.x, tile_id.y), ordinal

    assert (encode_tile_key(one, TABLE) < encode_tile_key(other, TABLE)) == (order(one) < order(other))
    assert (encode_tile_key(one, TABLE) == encode_tile_key(other, TABLE)) == (one == other)


@given(st.integers(0, (1 << MAX_ZOOM) - 1), st.integers(0, (1 << MAX_ZOOM) - 1))
def test_morton_interleaves_x_into_the_even_bits_and_y_into_the_odd(x: int, y: int) -> None:
    assert morton(x, y) == curve_position(x, y)


@given(tile_ids(zoom=9), st.integers(1, 5), st.data())
def test_the_descendants_of_a_tile_are_neighbours_on_the_curve(
    ancestor: TileId, levels: int, data: st.DataObject
) -> None:
    within = st.integers(0, (1 << levels) - 1)
    x, y = (ancestor.x << levels) + data.draw(within), (ancestor.y << levels) + data.draw(within)
    first = morton(ancestor.x, ancestor.y) << 2 * levels
    assert first <= morton(x, y) < first + (1 << 2 * levels)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_any_integer_names_one_tile_or_none(key: int) -> None:
    try:
        tile_id = decode_tile_key(key, TABLE)
    except (ValueError, KeyError):
        return
    assert encode_tile_key(tile_id, TABLE) == key


@pytest.mark.parametrize("key", [-1, -(1 << 63), 23 << 58, 31 << 58, 1 << 14, 3 << 58 | 64 << 14])
def test_a_key_off_the_grid_is_refused(key: int) -> None:
    with pytest.raises((ValueError, KeyError)):
        decode_tile_key(key, TABLE)


@given(st.lists(tile_ids()), st.lists(tile_ids()))
def test_a_larger_table_reads_every_key_of_a_smaller_one(earlier: list[TileId], later: list[TileId]) -> None:
    smaller = VariantTable.naming(earlier)
    larger = smaller.extended(later)
    for tile_id in earlier:
        assert decode_tile_key(encode_tile_key(tile_id, smaller), larger) == tile_id
        assert encode_tile_key(tile_id, larger) == encode_tile_key(tile_id, smaller)
    for tile_id in later:
        assert decode_tile_key(encode_tile_key(tile_id, larger), larger) == tile_id


@given(st.lists(tile_ids()))
def test_a_table_that_lacks_no_flight_is_not_extended(tiles: list[TileId]) -> None:
    table = VariantTable.naming(tiles)
    assert table.extended(tiles) is table


def test_the_provider_and_imports_have_the_same_ordinal_in_every_table() -> None:
    for table in (VariantTable(), TABLE):
        assert table.ordinal(TileSource.SATELLITE_PROVIDER, None) == 0
        assert table.ordinal(TileSource.IMPORTED, None) == 1


def test_a_flight_that_the_table_does_not_name_has_no_key() -> None:
    stranger = TileId(3, 4, 2, TileSource.ONBOARD, UUID(int=99))
    with pytest.raises(KeyError):
        encode_tile_key(stranger, TABLE)


def test_an_ordinal_that_the_table_does_not_name_decodes_to_nothing() -> None:
    key = encode_tile_key(TileId(3, 4, 2, TileSource.ONBOARD, FLIGHTS[0]), TABLE)
    with pytest.raises(KeyError, match="ordinal 2"):
        decode_tile_key(key, VariantTable())


def test_a_table_names_at_most_16384_variants() -> None:
    with pytest.raises(ValueError, match="16383 flights"):
        VariantTable(tuple(UUID(int=number) for number in range(1, MAX_VARIANTS)))


def test_a_table_refuses_to_name_a_flight_twice() -> None:
    with pytest.raises(ValueError, match=str(FLIGHTS[0])):
        VariantTable((FLIGHTS[0], FLIGHTS[0]))
