"""The compiled parts around a search give what the domain's own code gives, and survive nonsense."""

from __future__ import annotations

import gc
import pickle
from array import array
from typing import Any
from uuid import UUID

import attrs
import numpy as np
import pytest

from aerotile.domain.values.descriptors import SearchHit
from aerotile.domain.values.tile_key import VariantTable, decode_tile_key, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import HitReader, is_finite_descriptor

FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
TILES = [
    TileId(0, 0, 0, TileSource.IMPORTED),
    TileId(18, 152345, 90123, TileSource.SATELLITE_PROVIDER),
    TileId(22, 4194303, 4194303, TileSource.ONBOARD, FLIGHT),
]
VARIANTS = VariantTable.naming(TILES)
KEYS = np.array([encode_tile_key(tile, VARIANTS) for tile in TILES], np.int64)


@pytest.fixture
def reader() -> HitReader:
    return HitReader(VARIANTS, KEYS)


def rows(*values: int) -> Any:
    return np.array(values, np.int64)


def distances(*values: float) -> Any:
    return np.array(values, np.float32)


def test_hits_are_those_that_the_constructor_makes(reader: HitReader) -> None:
    hits = reader.hits(rows(2, 0, 1), distances(0.25, 0.5, 1e30))
    expected = [
        SearchHit(decode_tile_key(int(KEYS[row]), VARIANTS), float(np.float32(distance)))
        for row, distance in ((2, 0.25), (0, 0.5), (1, 1e30))
    ]
    assert hits == expected
    assert [hash(hit) for hit in hits] == [hash(hit) for hit in expected]
    assert repr(hits) == repr(expected)
    assert pickle.loads(pickle.dumps(hits)) == expected
    assert type(hits[0].distance) is float


def test_a_hit_is_as_frozen_as_any(reader: HitReader) -> None:
    (hit,) = reader.hits(rows(0), distances(1))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        hit.distance = 2.0  # type: ignore[misc] # that is the point


def test_places_without_a_row_are_left_out(reader: HitReader) -> None:
    hits = reader.hits(rows(1, -1, 2, -1), distances(1, 2, 3, 4))
    assert [(hit.tile_id, hit.distance) for hit in hits] == [(TILES[1], 1.0), (TILES[2], 3.0)]
    assert reader.hits(rows(), distances()) == []


def test_a_row_beyond_the_keys_is_an_error(reader: HitReader) -> None:
    with pytest.raises(IndexError, match="row 3 of 3"):
        reader.hits(rows(0, 3), distances(1, 2))


@pytest.mark.parametrize("key", [-5, (1 << 62) + 5000, int(KEYS[2]) + 1, 23 << 58])
def test_a_key_that_names_no_tile_is_an_error(key: int) -> None:
    with pytest.raises((KeyError, ValueError)):
        HitReader(VARIANTS, np.array([key], np.int64)).hits(rows(0), distances(1))


@pytest.mark.parametrize(
    ("given_rows", "given_distances"),
    [
        (rows(0).astype(np.int32), distances(1)),
        (rows(0).astype(">i8"), distances(1)),
        (rows(0).astype(np.float64), distances(1)),
        (rows(0), distances(1).astype(np.float64)),
        (rows(0).reshape(1, 1), distances(1)),
        (rows(0, 1), distances(1)),
        (rows(0, 1, 2)[::2], distances(1, 2)),
        ([0], distances(1)),
        (rows(0), [1.0]),
        (None, distances(1)),
        (b"12345678", b"1234"),
    ],
)
def test_other_arrays_are_refused(reader: HitReader, given_rows: Any, given_distances: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        reader.hits(given_rows, given_distances)


@pytest.mark.parametrize(
    ("variants", "keys"),
    [(None, KEYS), ("table", KEYS), (VARIANTS, None), (VARIANTS, [1]), (VARIANTS, KEYS.astype(np.float64))],
)
def test_a_reader_of_nonsense_is_refused(variants: Any, keys: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        HitReader(variants, keys)


def test_a_reader_holds_on_to_its_keys() -> None:
    reader = HitReader(VARIANTS, KEYS.copy())
    gc.collect()
    assert reader.hits(rows(2), distances(1))[0].tile_id == TILES[2]


@pytest.mark.parametrize("length", [1, 7, 8, 512])
def test_a_row_of_finite_numbers_is_a_descriptor(length: int) -> None:
    limits = np.finfo(np.float32)
    values = np.resize(np.array([0, -0.0, limits.max, limits.min, limits.tiny, 1e-45], np.float32), length)
    assert is_finite_descriptor(values, length)
    assert not is_finite_descriptor(values, length + 1)
    assert not is_finite_descriptor(values, length - 1)


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 6, 99])
def test_one_number_that_is_not_finite_is_seen_anywhere(value: float, place: int) -> None:
    descriptor = np.zeros(100, np.float32)
    descriptor[place] = value
    assert not is_finite_descriptor(descriptor, 100)


@pytest.mark.parametrize(
    "given",
    [
        np.zeros(4, np.float64),
        np.zeros(4, np.int32),
        np.zeros(4, ">f4"),
        np.zeros((1, 4), np.float32),
        np.zeros(8, np.float32)[::2],
        np.frombuffer(bytes(17), np.float32, 4, 1),
        np.array([None] * 4),
        np.float32(4),
        [0.0] * 4,
        array("d", [0.0] * 4),
        bytes(16),
        None,
    ],
)
def test_what_is_no_descriptor_is_none(given: Any) -> None:
    assert not is_finite_descriptor(given, 4)
