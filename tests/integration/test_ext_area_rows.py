"""The rows of an area in C against the domain's own answer, with one selection for many areas."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.areas import Area
from aerotile.domain.values.shapes import Circle
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import PlaceOrderedRows, RowSelection

VARIANTS = VariantTable()
SOURCES = (TileSource.SATELLITE_PROVIDER, TileSource.IMPORTED)
_lats, _lons = st.floats(-89, 80), st.floats(-180, 170)
_shapes = st.one_of(
    st.builds(Circle, _lats, _lons, st.floats(0, 9_000_000)),
    st.builds(
        lambda lat, lon, high, wide: Bbox(lat, lon, min(90.0, lat + high), min(180.0, lon + wide)),
        _lats, _lons, st.floats(0, 90), st.floats(0, 180),
    ),
)  # fmt: skip
_areas = st.lists(
    st.builds(
        Area, st.lists(_shapes, min_size=1, max_size=3), st.none() | st.sets(st.integers(0, 4), min_size=1)
    ),
    min_size=1,
    max_size=3,
)


def _tiles() -> list[TileId]:
    """All of zooms 2 to 4, a third of them twice, in the order of their keys."""
    found = [
        TileId(zoom_level, x, y, source)
        for zoom_level in (2, 3, 4)
        for x in range(1 << zoom_level)
        for y in range(1 << zoom_level)
        for source in SOURCES[: 1 + ((x + y) % 3 == 0)]
    ]
    return sorted(found, key=lambda tile_id: encode_tile_key(tile_id, VARIANTS))


TILES = _tiles()
KEYS = np.array([encode_tile_key(tile_id, VARIANTS) for tile_id in TILES], np.int64)


@given(_areas, st.integers(1, 140))
def test_one_selection_holds_the_rows_of_each_area_that_it_is_given(
    areas: list[Area], rows_per_block: int
) -> None:
    rows = PlaceOrderedRows(KEYS, rows_per_block)
    selection = RowSelection(rows)
    for area in areas:
        rows.select(area, selection)
        expected = [row for row, t in enumerate(TILES) if area.touches(t.zoom_level, t.x, t.y)]
        raw = ctypes.string_at(selection.bits_address, selection.bit_bytes)
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
        assert np.flatnonzero(bits).tolist() == expected
        assert selection.count == len(expected)
        blocks = sorted({row // rows_per_block for row in expected})
        known = np.zeros(len(KEYS) // rows_per_block + 1, np.uint8)
        assert sorted(selection.missing_in(known)) == blocks
        known[blocks] = 1
        assert selection.missing_in(known) == []
        noted = (ctypes.c_int64 * selection.blocks).from_address(selection.blocks_address)
        assert sorted(noted) == blocks


@pytest.mark.parametrize(
    ("keys", "rows_per_block"), [(KEYS[:5], 16), (KEYS, 15)], ids=["fewer", "other_blocks"]
)
def test_a_selection_of_other_rows_is_refused(keys: Any, rows_per_block: int) -> None:
    selection = RowSelection(PlaceOrderedRows(keys, rows_per_block))
    with pytest.raises(ValueError, match="made for"):
        PlaceOrderedRows(KEYS, 16).select(Area((Bbox(-90, -180, 90, 180),)), selection)
    assert selection.count == 0


def test_flags_that_not_every_block_has_are_refused() -> None:
    selection = RowSelection(PlaceOrderedRows(KEYS, 16))
    with pytest.raises(ValueError, match="too few"):
        selection.missing_in(np.zeros((len(KEYS) - 1) // 16, np.uint8))
