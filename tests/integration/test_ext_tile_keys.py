"""Tile keys in C against the reference of the domain, and what they do with nonsense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aerotile.domain.values.descriptors import SearchHit
from aerotile.domain.values.tile_grid import MAX_ZOOM
from aerotile.domain.values.tile_key import MAX_VARIANTS, VariantTable, decode_tile_key, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import TileKeyCodec

FLIGHTS = tuple(UUID(int=number) for number in (1, 2**127 + 5, 2**64))
TABLE = VariantTable(FLIGHTS)
CODEC = TileKeyCodec(TABLE)


@st.composite
def tile_ids(draw: st.DrawFn) -> TileId:
    zoom_level = draw(st.integers(0, MAX_ZOOM))
    coordinate = st.integers(0, (1 << zoom_level) - 1)
    source = draw(st.sampled_from(TileSource))
    flight = draw(st.sampled_from(FLIGHTS)) if source is TileSource.ONBOARD else None
    return TileId(zoom_level, draw(coordinate), draw(coordinate), source, flight)


def outcome(decode: Callable[[int], TileId], key: int) -> TileId | type[Exception]:
    """What a key decodes to, or which error it raises."""
    try:
        return decode(key)
    except (KeyError, ValueError) as error:
        return type(error)


@given(tile_ids())
def test_a_key_is_the_references_and_decodes_to_the_same_tile(tile_id: TileId) -> None:
    key = encode_tile_key(tile_id, TABLE)
    assert CODEC.encode(tile_id) == key
    decoded = CODEC.decode(key)
    assert decoded == tile_id
    assert type(decoded) is TileId
    assert hash(decoded) == hash(tile_id)
    assert str(decoded) == str(tile_id)


@given(st.one_of(st.integers(), st.integers(0, 2**63 - 1), st.integers(0, 2**20)))
@example(2**63 | 1234)  # neither fits 64 bits nor names a flight of the table
def test_any_number_decodes_or_is_refused_as_by_the_reference(key: int) -> None:
    assert outcome(CODEC.decode, key) == outcome(lambda number: decode_tile_key(number, TABLE), key)


@given(st.lists(tile_ids(), max_size=20), st.integers(1, 3))
def test_many_keys_decode_in_their_order_also_from_every_other_place(tiles: list[TileId], step: int) -> None:
    keys = np.array([encode_tile_key(tile_id, TABLE) for tile_id in tiles], np.int64)
    assert CODEC.decode_many(keys[::step]) == tiles[::step]
    keys.flags.writeable = False
    assert CODEC.decode_many(keys[::-step]) == tiles[::-step]


@given(st.lists(tile_ids(), min_size=1, max_size=20, unique=True), st.integers(0, 8))
def test_hits_are_those_that_the_constructor_makes_of_keys_at_any_address(
    tiles: list[TileId], address: int
) -> None:
    aligned = np.array([encode_tile_key(tile_id, TABLE) for tile_id in tiles], np.int64)
    keys = np.frombuffer(bytes(address) + aligned.tobytes(), np.int64, offset=address)
    rows = np.arange(len(tiles))
    distances = np.arange(len(tiles), dtype=np.float32)
    hits = CODEC.nearest_hits(keys, rows, distances, len(rows), len(rows), ascending=True, are_all=True)
    made = [SearchHit(tile_id, float(row)) for row, tile_id in enumerate(tiles)]
    assert hits == made
    assert list(map(hash, hits)) == list(map(hash, made))


@given(
    st.lists(st.tuples(st.integers(-1, 6), st.sampled_from([-2.0, 0.0, 0.5, 3.0])), max_size=12),
    st.integers(1, 6),
    st.booleans(),
    st.booleans(),
)
def test_the_nearest_hits_are_each_tile_by_its_best_row_and_none_that_a_row_unseen_could_displace(
    found: list[tuple[int, float]], k: int, ascending: bool, are_all: bool
) -> None:
    tiles = sorted((TileId(3, x, 2, TileSource.IMPORTED) for x in range(4)), key=CODEC.encode)
    of_row = [tiles[row] for row in (0, 1, 1, 2, 2, 3)]
    keys = np.array([CODEC.encode(tile_id) for tile_id in of_row], np.int64)
    rows = np.array([row for row, _ in found], np.int64)
    distances = np.array([distance for _, distance in found], np.float32)
    hits = CODEC.nearest_hits(keys, rows, distances, len(found), k, ascending=ascending, are_all=are_all)
    sign = 1 if ascending else -1
    best: dict[TileId, float] = {}
    named = [(row, sign * distance) for row, distance in found if 0 <= row < len(of_row)]
    for row, far in named:
        best[of_row[row]] = min(far, best.get(of_row[row], far))
    nearest = sorted(best, key=lambda tile_id: (best[tile_id], CODEC.encode(tile_id)))[:k]
    farthest = max((far for _, far in named), default=0.0)
    if not are_all and (len(nearest) < k or best[nearest[-1]] == farthest):
        assert hits is None
    else:
        assert hits == [SearchHit(tile_id, sign * best[tile_id]) for tile_id in nearest]


@pytest.mark.parametrize(("k", "count"), [(1, 3), (1, -1), (0, 2), (-1, 2)])
def test_more_rows_than_there_are_or_no_tile_at_all_give_no_hits(k: int, count: int) -> None:
    two = np.zeros(2, np.int64)
    with pytest.raises(ValueError, match=f"{k} of {count} of 2 rows and 2 distances"):
        CODEC.nearest_hits(two, two, np.zeros(2, np.float32), count, k, ascending=True, are_all=False)


@pytest.mark.parametrize("wrong", range(3))
def test_arrays_of_other_numbers_give_no_hits(wrong: int) -> None:
    arrays: list[Any] = [np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2, np.float32)]
    for other in (
        np.zeros(2, np.int16),
        np.zeros((2, 2), arrays[wrong].dtype),
        np.zeros(4, arrays[wrong].dtype)[::2],
    ):
        given = [*arrays[:wrong], other, *arrays[wrong + 1 :]]
        with pytest.raises(ValueError, match=r"arrays of int64|not C-contiguous"):
            CODEC.nearest_hits(*given, 1, 1, ascending=True, are_all=False)


def test_the_largest_table_names_its_last_flight() -> None:
    table = VariantTable(tuple(UUID(int=number) for number in range(1, MAX_VARIANTS - 1)))
    tile_id = TileId(MAX_ZOOM, 0, 5, TileSource.ONBOARD, table.flights[-1])
    codec = TileKeyCodec(table)
    assert codec.encode(tile_id) == encode_tile_key(tile_id, table)
    assert codec.decode(codec.encode(tile_id)) == tile_id
    assert codec.variants is table


def test_a_flight_that_the_table_does_not_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        CODEC.encode(TileId(3, 1, 1, TileSource.ONBOARD, UUID(int=77)))


def test_one_bad_key_refuses_them_all() -> None:
    good = encode_tile_key(TileId(3, 1, 1, TileSource.IMPORTED), TABLE)
    with pytest.raises(KeyError, match="ordinal 16383"):
        CODEC.decode_many(np.array([good, -1], np.int64))


@pytest.mark.parametrize(
    "keys",
    [
        None,
        [1, 2],
        "keys",
        np.zeros(3, np.int32),
        np.zeros(3, np.uint64),
        np.zeros(3, np.float64),
        np.zeros((2, 2), np.int64),
        np.zeros(3, ">i8"),
        np.int64(5),
        np.zeros(3, "datetime64[us]"),
    ],
    ids=repr,
)
def test_anything_but_an_array_of_64_bit_integers_is_refused(keys: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        CODEC.decode_many(keys)  # type: ignore[arg-type] # wrong types are what is tested


@pytest.mark.parametrize("key", [None, 1.5, "7", b"7"])
def test_a_key_that_is_no_integer_is_refused(key: object) -> None:
    with pytest.raises(TypeError):
        CODEC.decode(key)  # type: ignore[arg-type] # wrong types are what is tested


def with_slot(name: str, value: object) -> TileId:
    """A tile id whose validation somebody got past."""
    tile_id = TileId(3, 1, 1, TileSource.ONBOARD, FLIGHTS[0])
    object.__setattr__(tile_id, name, value)
    return tile_id


@pytest.mark.parametrize(
    "tile_id",
    [
        None,
        "3/1/1",
        TileSource.IMPORTED,
        TileId.__new__(TileId),
        with_slot("zoom_level", 23),
        with_slot("zoom_level", "3"),
        with_slot("x", 8),
        with_slot("y", -1),
        with_slot("y", 2**70),
        with_slot("source", None),
        with_slot("source", 3),
        with_slot("flight_id", None),
        with_slot("flight_id", "7d444840"),
    ],
    ids=range(13),
)
def test_what_is_no_tile_id_is_refused(tile_id: object) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError, OverflowError)):
        CODEC.encode(tile_id)  # type: ignore[arg-type] # wrong types are what is tested


def test_a_subclass_is_encoded_as_what_it_is() -> None:
    class Marked(TileId):
        """A tile id with room for more."""

    assert CODEC.encode(Marked(3, 1, 2, TileSource.IMPORTED)) == CODEC.encode(
        TileId(3, 1, 2, TileSource.IMPORTED)
    )


def test_a_codec_needs_a_table() -> None:
    with pytest.raises(TypeError, match="VariantTable"):
        TileKeyCodec(())  # type: ignore[arg-type] # wrong types are what is tested
