"""The map of 8 by 8 sub-cells that a sector grid asks before it looks at lines: never another answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aerotile.adapters.rtree import cells
from aerotile.adapters.rtree.sector_index import _grid
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Polygon, shares_point
from aerotile.domain.values.tile_grid import MAX_ZOOM, Bbox
from aerotile.domain.values.tiles import TileId, TileSource

SOUTH, WEST, REACH = 48.0, 35.0, 0.4


def ragged_polygons_and_boxes(seed: int, count: int) -> list[SectorBoundary]:
    """Polygons with a hole each, and boxes among them, over the same ground."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        lat, lon = SOUTH + rng.uniform(0, REACH), WEST + rng.uniform(0, REACH)
        size = rng.uniform(0.02, 0.3)
        angles = np.linspace(0, math.tau, int(rng.integers(3, 40)), endpoint=False)
        around = np.column_stack([np.cos(angles), np.sin(angles)]) * size
        ragged = around * rng.uniform(0.6, 1.0, (len(angles), 1)) + (lon, lat)
        shape: Bbox | Polygon = Polygon([ragged.tolist(), (around * 0.3 + (lon, lat)).tolist()])
        if number % 4 == 3:
            shape = shape.bbox
        made.append(SectorBoundary(f"{number:02}", SectorClassification.STABLE_REAR, shape))
    return made


def tiles_near(sectors: list[SectorBoundary], seed: int, count: int) -> list[TileId]:
    """Tiles of all zooms, on corners of shapes, close by, and anywhere."""
    rng = np.random.default_rng(seed)
    corners = [
        point
        for sector in sectors
        if isinstance(sector.shape, Polygon)
        for ring in sector.shape.rings
        for point in ring
    ]
    tiles = []
    for number in range(count):
        lon, lat = corners[rng.integers(len(corners))]
        away = (0.0, 1e-4, 1e-2, 0.2)[number % 4]
        lat, lon = lat + rng.uniform(-away, away), lon + rng.uniform(-away, away)
        tiles.append(TileId.covering(lat, lon, number % (MAX_ZOOM + 1), TileSource.IMPORTED))
    return tiles


@pytest.mark.parametrize("crowded_lines", [1, 8, 1000])
def test_the_first_sector_over_a_tile_is_that_of_the_shapes_one_by_one(
    crowded_lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "CROWDED_LINES", crowded_lines)
    monkeypatch.setattr(cells, "CROWDED", crowded_lines)
    for seed in range(3):
        sectors = ragged_polygons_and_boxes(seed, 16)
        grid = _grid(sectors)
        for tile_id in tiles_near(sectors, seed, 1_000):
            over = (sector for sector in sectors if shares_point(sector.shape, tile_id.bbox))
            assert grid.first_over(tile_id) is next(over, None), tile_id


def test_more_candidates_than_a_map_has_codes_for_are_looked_at_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cells, "CROWDED_LINES", 10_000)
    monkeypatch.setattr(cells, "CROWDED", 10_000)
    sectors = ragged_polygons_and_boxes(7, 60)
    grid = _grid(sectors)
    for tile_id in tiles_near(sectors, 7, 500):
        over = (sector for sector in sectors if shares_point(sector.shape, tile_id.bbox))
        assert grid.first_over(tile_id) is next(over, None), tile_id
