"""Coverage in few cells: counts are exact, each place counts once, and answers stay small."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.coverage_cells import cells_of, count_by_zoom, places_of_keys
from aerotile.domain.values.tile_grid import GridRange
from aerotile.domain.values.tile_key import VARIANT_BITS, VariantTable, encode_tile_key, morton
from aerotile.domain.values.tiles import TileId, TileSource

FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
VARIANTS = VariantTable((FLIGHT,))


def keys_of(tiles: set[tuple[int, int, int]], source: TileSource = TileSource.IMPORTED) -> np.ndarray:
    flight = FLIGHT if source is TileSource.ONBOARD else None
    return np.sort(
        np.array([encode_tile_key(TileId(*tile, source, flight), VARIANTS) for tile in tiles], np.int64)
    )


@st.composite
def grids(draw: st.DrawFn) -> set[tuple[int, int, int]]:
    zoom = draw(st.integers(0, 6))
    edge = st.integers(0, (1 << zoom) - 1)
    return {(zoom, x, y) for x, y in draw(st.sets(st.tuples(edge, edge), max_size=60))} | {(7, 100, 3)}


@given(grids(), st.integers(0, 22), st.integers(1, 40), st.data())
def test_each_cell_counts_the_tiles_that_lie_in_it(
    tiles: set[tuple[int, int, int]], finest: int, most: int, data: st.DataObject
) -> None:
    zoom = min(zoom for zoom, _, _ in tiles)
    edge = st.integers(0, (1 << zoom) - 1)
    (west, east), (north, south) = (sorted(data.draw(st.tuples(edge, edge))) for _ in range(2))
    window = data.draw(st.sampled_from([None, GridRange(zoom, west, north, east, south)]))
    places = places_of_keys([keys_of(tiles), keys_of(tiles, TileSource.ONBOARD)])
    cells = cells_of(places, zoom, finest=finest, most=most, window=window)
    here = [
        (x, y)
        for z, x, y in tiles
        if z == zoom and (window is None or (west <= x <= east and north <= y <= south))
    ]

    def counted(cell_zoom: int) -> Counter[tuple[int, int]]:
        shift = zoom - cell_zoom
        return Counter((x >> shift, y >> shift) for x, y in here)

    found = {(int(x), int(y)): int(count) for x, y, count in zip(cells.x, cells.y, cells.counts, strict=True)}
    assert found == counted(cells.cell_zoom)
    assert len(cells) <= most
    assert cells.cell_zoom <= min(zoom, finest)
    # No finer grid would have done.
    assert cells.cell_zoom == min(zoom, finest) or len(counted(cells.cell_zoom + 1)) > most


def test_a_place_with_several_sources_counts_once_in_each_zoom() -> None:
    tiles = {(5, 1, 2), (5, 31, 31), (9, 511, 0)}
    every_source = [keys_of(tiles, source) for source in TileSource]
    assert count_by_zoom(places_of_keys([np.sort(np.concatenate(every_source))])) == {5: 2, 9: 1}
    assert count_by_zoom(places_of_keys(every_source)) == {5: 2, 9: 1}
    assert count_by_zoom(places_of_keys([])) == {}


def test_a_million_tiles_are_few_cells() -> None:
    corner = morton(150_000, 90_000)
    keys = (18 << 44 | corner & ~0xFFFFF | np.arange(1 << 20, dtype=np.int64)) << VARIANT_BITS
    cells = cells_of(places_of_keys([keys]), 18, finest=22, most=4096)
    assert len(cells) == 4096
    assert int(cells.counts.sum()) == 1 << 20
    assert cells.places_in_a_cell == 256
    assert set(cells.counts.tolist()) == {256}


def test_an_impossible_call_is_refused() -> None:
    with pytest.raises(ValueError, match="most must be 1 or more"):
        cells_of(places_of_keys([]), 5, finest=5, most=0)
    with pytest.raises(ValueError, match="zoom_level"):
        cells_of(places_of_keys([]), 23, finest=5, most=1)
