"""The tiles in a box, and snapshots."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ....domain.ports.tile_catalogue import TileCatalogue
from ....domain.values.tile_grid import MAX_LATITUDE, Bbox, GridRange, tile_bbox
from ....domain.values.tile_key import VariantTable, decode_tile_key, encode_tile_key
from ....domain.values.tiles import TileId, TileMetadataPersistent, TileSource
from ..generated_examples import FROM_A_FACTORY
from .rows import FLIGHTS, add_all, entry, imported, load, row
from .subject import MakeTileCatalogue, OfTileCatalogue

latitudes = st.one_of(
    st.floats(-90.0, 90.0), st.sampled_from([-90.0, 90.0, MAX_LATITUDE, -MAX_LATITUDE, 0.0])
)

longitudes = st.one_of(st.floats(-180.0, 180.0), st.sampled_from([-180.0, 180.0, 0.0]))


@st.composite
def boxes(draw: st.DrawFn) -> Bbox:
    south, north = sorted((draw(latitudes), draw(latitudes)))
    west, east = sorted((draw(longitudes), draw(longitudes)))
    return Bbox(south, west, north, east)


@st.composite
def boxes_by_tiles(draw: st.DrawFn, zoom_level: int) -> Bbox:
    """Boxes whose edges are those of tiles, or one step of a float beside them."""
    size = 1 << zoom_level
    cells = st.integers(0, size - 1)
    (west, east), (top, bottom) = sorted((draw(cells), draw(cells))), sorted((draw(cells), draw(cells)))
    first, last = tile_bbox(west, top, zoom_level), tile_bbox(east, bottom, zoom_level)

    def near(value: float, limit: float) -> float:
        return max(-limit, min(limit, math.nextafter(value, draw(st.sampled_from([-999.0, value, 999.0])))))

    south, north = sorted((near(last.min_lat, 90.0), near(first.max_lat, 90.0)))
    left, right = sorted((near(first.min_lon, 180.0), near(last.max_lon, 180.0)))
    return Bbox(south, left, north, right)


DENSE = 6
"""The zoom of which the catalogue `dense` has every tile: 4,096, in 32 blocks of the compiled catalogue."""


@cache
def dense_rows() -> tuple[TileMetadataPersistent, ...]:
    """The row of every tile of zoom `DENSE`, made once: rows are frozen."""
    side = range(1 << DENSE)
    return tuple(row(imported(x, y, DENSE)) for x in side for y in side)


class Boxes(OfTileCatalogue):
    """The tiles in a box, and snapshots."""

    @pytest.fixture
    def dense(self, catalogue: TileCatalogue) -> TileCatalogue:
        """A catalogue with every tile of one zoom, and some of the next."""
        load(catalogue, dense_rows())
        add_all(catalogue, (row(imported(x, x, DENSE + 1)) for x in range(1 << DENSE)))
        return catalogue

    def test_numbers_of_numpy_are_taken(self, dense: TileCatalogue) -> None:
        box = tile_bbox(3, 4, DENSE)
        expected = dense.query_by_bbox(box, DENSE)
        for zoom_level in (np.int64(DENSE), np.uint8(DENSE)):
            found = dense.query_by_bbox(box, zoom_level)
            assert list(found) == list(expected)
        assert found[np.int64(0)] == expected[0]

    @pytest.mark.parametrize("zoom_level", [True, 5.0, "5", None, -1, 23], ids=repr)
    def test_a_zoom_that_does_not_exist_is_refused_by_name(
        self, dense: TileCatalogue, zoom_level: Any
    ) -> None:
        with pytest.raises(ValueError, match=r"^zoom_level must be an integer within 0\.\.22, got "):
            dense.query_by_bbox(tile_bbox(3, 4, DENSE), zoom_level)

    def test_matches_are_a_copy_that_later_changes_do_not_reach(self, catalogue: TileCatalogue) -> None:
        rows = [row(imported(x, y, 3), 8 * x + y) for x in range(8) for y in range(8)]
        load(catalogue, rows)
        matches = catalogue.query_by_bbox(Bbox(-90, -180, 90, 180), 3)
        expected = [
            entry(known) for known in sorted(rows, key=lambda r: encode_tile_key(r.tile_id, VariantTable()))
        ]
        load(catalogue, [])
        assert list(matches) == expected
        assert matches[0] == expected[0]
        assert matches[-1] == expected[-1]
        assert matches[3:60:7] == expected[3:60:7]
        assert matches.tile_ids() == [e.tile_id for e in expected]
        assert matches.keys.tolist() == [encode_tile_key(e.tile_id, VariantTable()) for e in expected]
        assert not matches.keys.flags.writeable
        for position in (64, -65):
            with pytest.raises(IndexError):
                matches[position]

    def test_a_snapshot_is_sorted_read_only_and_not_reached_by_later_changes(
        self, catalogue: TileCatalogue
    ) -> None:
        load(catalogue, [row(imported(x)) for x in (5, 1, 3)])
        keys, variants = catalogue.snapshot()
        catalogue.remove(imported(3))
        assert [decode_tile_key(key, variants) for key in keys.tolist()] == [imported(x) for x in (1, 3, 5)]
        assert not keys.flags.writeable

    @pytest.mark.parametrize("zoom_level", [-1, 23, 1.0, "3", None, True, 2**70])
    def test_a_zoom_off_the_grid_is_refused(self, catalogue: TileCatalogue, zoom_level: object) -> None:
        with pytest.raises(ValueError, match="zoom_level must be an integer within"):
            catalogue.query_by_bbox(Bbox(0, 0, 1, 1), zoom_level)  # type: ignore[arg-type] # wrong types are tested

    @settings(FROM_A_FACTORY, max_examples=3 * settings().max_examples)
    @given(data=st.data())
    def test_a_query_finds_the_tiles_that_the_grid_says(
        self, new_catalogue: MakeTileCatalogue, data: st.DataObject
    ) -> None:
        zoom = data.draw(st.integers(0, 5))
        cells = data.draw(
            st.sets(st.tuples(st.integers(0, 2**zoom - 1), st.integers(0, 2**zoom - 1)), max_size=80)
        )
        rows = [row(imported(x, y, zoom)) for x, y in cells]
        rows += [row(TileId(zoom, x, y, TileSource.ONBOARD, FLIGHTS[1])) for x, y in list(cells)[::3]]
        # Neighbours on the curve that are of other zooms.
        rows += [row(imported(0, 0, zoom + 1)), row(imported(2**zoom - 1, 2**zoom - 1, zoom + 1))]
        rows += [row(imported(0, 0, zoom - 1))] if zoom else []
        bbox = data.draw(st.one_of(boxes(), boxes_by_tiles(zoom)))
        span = set(GridRange.covering(bbox, zoom))
        expected = [
            known.tile_id
            for known in sorted(rows, key=lambda r: encode_tile_key(r.tile_id, VariantTable((FLIGHTS[1],))))
            if known.tile_id.zoom_level == zoom and (known.tile_id.x, known.tile_id.y) in span
        ]
        catalogue = new_catalogue()
        load(catalogue, rows)
        assert catalogue.query_by_bbox(bbox, zoom).tile_ids() == expected

    @settings(FROM_A_FACTORY, max_examples=3 * settings().max_examples)
    @given(bbox=st.one_of(boxes(), boxes_by_tiles(DENSE)))
    def test_a_query_of_a_dense_area_finds_the_whole_range(self, dense: TileCatalogue, bbox: Bbox) -> None:
        found = dense.query_by_bbox(bbox, DENSE)
        span = GridRange.covering(bbox, DENSE)
        assert len(found) == len(span)
        assert {(t.x, t.y) for t in found.tile_ids()} == set(span)
        assert found.keys.tolist() == sorted(found.keys.tolist())

    @settings(FROM_A_FACTORY, max_examples=10 * settings().max_examples)
    @given(bbox=boxes(), zoom_level=st.integers(0, 22))
    def test_the_projection_is_the_grids_to_the_last_bit(
        self, new_catalogue: MakeTileCatalogue, bbox: Bbox, zoom_level: int
    ) -> None:
        # The four corner cells of the range are found, the cells beside them are not.
        span = GridRange.covering(bbox, zoom_level)
        last = (1 << zoom_level) - 1
        inside = {(x, y) for x in (span.min_x, span.max_x) for y in (span.min_y, span.max_y)}
        beside = {(span.min_x - 1, span.min_y), (span.max_x + 1, span.max_y)}
        beside |= {(span.min_x, span.min_y - 1), (span.max_x, span.max_y + 1)}
        catalogue = new_catalogue()
        there = [(x, y) for x, y in inside | beside if 0 <= x <= last and 0 <= y <= last]
        add_all(catalogue, (row(imported(x, y, zoom_level)) for x, y in there))
        assert {(t.x, t.y) for t in catalogue.query_by_bbox(bbox, zoom_level).tile_ids()} == inside
