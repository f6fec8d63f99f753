"""The lines of the finest grid: where the domain puts the tiles' edges, to the last bit."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.tile_grid import MAX_ZOOM, north_west_corner
from aerotile.ext import touched_lines

LAST_LINE = 1 << MAX_ZOOM
lines = st.one_of(
    st.integers(0, LAST_LINE), st.sampled_from([0, 1, LAST_LINE // 2, LAST_LINE - 1, LAST_LINE])
)


def lines_of(*corners: float) -> tuple[int, ...]:
    """West, north, east and south line of one box."""
    return tuple(touched_lines(np.array([corners], np.float64))[0].tolist())


def test_every_line_is_where_the_domain_puts_it_and_one_step_further_is_not() -> None:
    # Every 97th line: an odd step meets the lines of coarse and of fine grids alike.
    chosen = [*range(0, LAST_LINE, 97), LAST_LINE]
    places = np.array([north_west_corner(line, line, MAX_ZOOM) for line in chosen])
    expected = np.repeat(np.array(chosen)[:, None], 4, axis=1)
    on_the_line = np.column_stack([places, places])
    assert (touched_lines(on_the_line) == expected).all()
    beyond = np.nextafter(places, [np.inf, -np.inf])  # to the north and to the west
    inside = (beyond[:, 1] >= -180.0) & (beyond[:, 0] <= 90.0)
    found = touched_lines(np.column_stack([beyond, beyond])[inside])
    assert (found == expected[inside] - [0, 0, 1, 1]).all()


@given(north=lines, south=lines, west=lines, east=lines)
def test_a_box_between_lines_is_touched_from_the_first_to_the_last(
    north: int, south: int, west: int, east: int
) -> None:
    north, south = sorted((north, south))
    west, east = sorted((west, east))
    max_lat, min_lon = north_west_corner(west, north, MAX_ZOOM)
    min_lat, max_lon = north_west_corner(east, south, MAX_ZOOM)
    assert lines_of(min_lat, min_lon, max_lat, max_lon) == (west, north, east, south)


def test_a_box_between_two_lines_has_its_last_line_before_its_first() -> None:
    assert lines_of(1e-9, 1e-9, 1e-9, 1e-9) == (
        LAST_LINE // 2 + 1,
        LAST_LINE // 2,
        LAST_LINE // 2,
        LAST_LINE // 2 - 1,
    )


def test_beyond_the_projection_no_line_is_touched() -> None:
    west, north, east, south = lines_of(86.0, -180.0, 90.0, 180.0)
    assert (west, north, east, south) == (0, 0, LAST_LINE, -1)
    assert lines_of(-90.0, 0.0, -86.0, 0.0)[1] == LAST_LINE + 1


def test_without_boxes_there_are_no_lines() -> None:
    assert touched_lines(np.empty((0, 4))).shape == (0, 4)


@pytest.mark.parametrize(
    "corners",
    [
        (math.nan, 0.0, 1.0, 1.0),
        (0.0, 0.0, math.inf, 1.0),
        (1.0, 0.0, 0.0, 1.0),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, -181.0, 1.0, 1.0),
        (0.0, 0.0, 90.5, 1.0),
    ],
)
def test_a_box_off_the_globe_is_refused(corners: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must lie on the globe"):
        lines_of(*corners)


@pytest.mark.parametrize(
    "boxes", [np.zeros((1, 3)), np.zeros(4), np.zeros((1, 4), np.float32), np.zeros((1, 4), np.int64)]
)
def test_an_array_of_another_shape_or_type_is_refused(boxes: npt.NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"columns|dimensions|mismatch"):
        touched_lines(boxes)
