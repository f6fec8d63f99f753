"""The ground that tiles cover: runs, boxes, and both sides of the antimeridian."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.coverage import TileRun, coverage_of, runs_of
from aerotile.domain.values.tile_grid import tile_bbox

PLACES = st.integers(0, 5).flatmap(
    lambda zoom: st.tuples(st.just(zoom), st.integers(0, 2**zoom - 1), st.integers(0, 2**zoom - 1))
)


@given(st.lists(PLACES, max_size=40))
def test_runs_hold_each_place_once_and_no_other(places: list[tuple[int, int, int]]) -> None:
    runs = runs_of(places)
    held = [(run.zoom_level, run.x, y) for run in runs for y in range(run.first_y, run.last_y + 1)]
    assert held == sorted(set(places))
    assert sum(one.tiles for one in coverage_of(runs)) == len(held)
    for run, after in pairwise(runs):
        assert run[:2] != after[:2] or after.first_y > run.last_y + 1


@given(st.lists(PLACES, min_size=1, max_size=40))
def test_the_boxes_of_a_zoom_hold_every_tile(places: list[tuple[int, int, int]]) -> None:
    boxes = {one.zoom_level: one.boxes for one in coverage_of(runs_of(places))}
    for zoom_level, x, y in places:
        tile = tile_bbox(x, y, zoom_level)
        assert any(
            box.min_lat <= tile.min_lat
            and tile.max_lat <= box.max_lat
            and box.min_lon <= tile.min_lon
            and tile.max_lon <= box.max_lon
            for box in boxes[zoom_level]
        )


def test_tiles_of_cape_town_lie_in_the_south() -> None:
    (one,) = coverage_of([TileRun(14, 9030, 9834, 9834)])
    assert (one.zoom_level, one.tiles) == (14, 1)
    (box,) = one.boxes
    assert (round(box.min_lat, 4), round(box.max_lat, 4)) == (-33.9251, -33.9069)
    assert (round(box.min_lon, 4), round(box.max_lon, 4)) == (18.4131, 18.4351)


@pytest.mark.parametrize(
    ("columns", "boxes"),
    [
        ((0, 1, 14, 15), 2),
        ((0, 15), 2),
        (tuple(range(16)), 1),
        ((3, 9), 1),
        ((0, 8), 1),
    ],
)
def test_a_box_is_cut_at_the_antimeridian_only_where_tiles_lie_on_both_sides(
    columns: tuple[int, ...], boxes: int
) -> None:
    (one,) = coverage_of(runs_of((4, x, 5) for x in columns))
    assert len(one.boxes) == boxes
    if boxes == 2:
        east, west = one.boxes
        assert (east.max_lon, west.min_lon) == (180.0, -180.0)
        assert (east.max_lon - east.min_lon) + (west.max_lon - west.min_lon) == len(columns) * 22.5
