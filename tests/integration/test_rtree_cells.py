"""The cells over sectors of any sizes: few entries, short lists, and the same for every order of building."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from aerotile.adapters.rtree.cells import (
    CROWDED,
    CROWDED_LINES,
    MAX_LISTED,
    Cells,
    Outlines,
    cells_of,
)
from aerotile.domain.values.shapes import Polygon
from aerotile.domain.values.tile_grid import Bbox

COUNT = 3_000

Edges = float | npt.NDArray[np.float64]


def boxes(south: Edges, west: Edges, north: Edges, east: Edges) -> npt.NDArray[np.float64]:
    return np.column_stack([np.broadcast_to(edge, COUNT) for edge in (south, west, north, east)]).astype(
        float
    )


def world_sized() -> npt.NDArray[np.float64]:
    return boxes(-90.0, -180.0, 90.0, 180.0)


def nested() -> npt.NDArray[np.float64]:
    """The smallest first, so that no larger one makes it superfluous."""
    size = np.arange(1, COUNT + 1) / COUNT
    return boxes(-85 * size, -180 * size, 85 * size, 180 * size)


def strips() -> npt.NDArray[np.float64]:
    """Around the world, one beside the other."""
    south = np.linspace(-85, 85, COUNT)
    return boxes(south, -180.0, south + 1e-6, 180.0)


def with_a_corner_in_common() -> npt.NDArray[np.float64]:
    reach = np.arange(1, COUNT + 1) / COUNT
    return boxes(48.123, 35.123, 48.123 + reach, 35.123 + reach[::-1])


def crowded_together() -> npt.NDArray[np.float64]:
    place = np.random.default_rng(1).uniform(0, 1e-2, (2, COUNT))
    return boxes(48 + place[0], 35 + place[1], 48 + place[0] + 1e-4, 35 + place[1] + 1e-4)


def spread_out() -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(1)
    south, west = rng.uniform(-84, 83, COUNT), rng.uniform(-180, 178, COUNT)
    return boxes(south, west, south + 1, west + 1)


def cells(corners: npt.NDArray[np.float64]) -> Cells:
    return cells_of(Outlines.of([Bbox(*box) for box in corners.tolist()]))


@pytest.mark.parametrize(
    "make", [world_sized, nested, strips, with_a_corner_in_common, crowded_together, spread_out]
)
def test_memory_is_in_proportion_to_the_number_of_sectors_whatever_their_sizes(
    make: Callable[[], npt.NDArray[np.float64]],
) -> None:
    made = cells(make())
    assert len(made.candidates) <= MAX_LISTED * COUNT
    assert len(made.children) <= MAX_LISTED * COUNT
    assert made.counts.sum() == len(made.candidates)


@pytest.mark.parametrize("make", [world_sized, crowded_together, spread_out])
def test_no_list_is_long_where_sectors_can_be_told_apart(make: Callable[[], npt.NDArray[np.float64]]) -> None:
    assert cells(make()).counts.max() <= CROWDED


def test_sectors_that_cover_the_world_settle_every_cell_at_once() -> None:
    made = cells(world_sized())
    assert len(made.candidates) == 0
    assert set(made.firsts.tolist()) == {0}


def test_without_sectors_there_is_one_cell_with_none() -> None:
    made = cells(np.empty((0, 4)))
    assert (made.children.tolist(), made.firsts.tolist(), made.counts.tolist()) == ([0], [0], [0])


def circles(count: int, lines: int, reach: float) -> list[Polygon]:
    rng = np.random.default_rng(1)
    angles = np.linspace(0, 2 * np.pi, lines, endpoint=False)
    around = reach * np.column_stack([np.cos(angles), np.sin(angles)])
    centres = np.column_stack([rng.uniform(25, 40, count), rng.uniform(45, 55, count)])
    return [Polygon([(centre + around).tolist()]) for centre in centres]


@pytest.mark.parametrize("reach", [1e-4, 0.1, 20.0])
def test_the_lines_of_polygons_take_memory_in_proportion_to_their_number(reach: float) -> None:
    made = cells_of(Outlines.of(circles(200, 50, reach)))
    assert len(made.lines) <= MAX_LISTED * (200 + 200 * 50)
    assert made.line_counts.sum() == len(made.lines)


def test_few_lines_cross_a_cell_where_polygons_lie_apart() -> None:
    made = cells_of(Outlines.of(circles(50, 40, 0.01)))
    of_cells = np.arange(len(made.counts)).repeat(made.counts)
    assert np.bincount(of_cells, made.line_counts).max() <= CROWDED_LINES


def test_a_cell_within_a_polygon_lists_nothing() -> None:
    made = cells_of(Outlines.of(circles(1, 200, 10.0)))
    assert ((made.counts == 0) & (made.firsts == 0) & (made.children == 0)).any()
