"""What every descriptor index takes for a query, and what for descriptors."""

from __future__ import annotations

import numpy as np
import pytest

from aerotile.adapters.descriptor_arrays import checked_query, largest_component
from aerotile.domain.errors import IndexBuildError
from aerotile.domain.values.tiles import TileId, TileSource

QUERY = np.arange(8, dtype=np.float32)


def test_a_good_query_is_given_back_as_it_is() -> None:
    assert checked_query(QUERY, 8, 1) is QUERY


def test_a_query_with_gaps_between_its_components_is_made_whole() -> None:
    checked = checked_query(np.repeat(QUERY, 2)[::2], 8, 1)
    assert checked.flags.c_contiguous
    assert np.array_equal(checked, QUERY)


def test_a_query_that_begins_at_an_odd_address_is_moved() -> None:
    odd = np.frombuffer(b"\0" + QUERY.tobytes(), np.float32, offset=1)
    checked = checked_query(odd, 8, 1)
    assert checked.flags.aligned
    assert np.array_equal(checked, QUERY)


def test_components_are_finite_though_their_squares_overflow() -> None:
    large = np.full(8, 3e38, np.float32)
    assert checked_query(large, 8, 1) is large


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_component_that_is_not_finite_is_named(value: float) -> None:
    query = QUERY.copy()
    query[5] = value
    with pytest.raises(ValueError, match="component 5 is not"):
        checked_query(query, 8, 1)


def test_the_largest_component_is_found_on_either_side_of_nought() -> None:
    tiles = [TileId(5, x, 0, TileSource.IMPORTED) for x in range(4)]
    descriptors = np.array([[0, 1], [-7, 2], [3, 3], [0, 0]], np.float32)
    assert largest_component(tiles, descriptors) == 7
    assert largest_component(tiles, -descriptors) == 7


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_tile_whose_descriptor_is_not_finite_is_named_wherever_it_is(value: float) -> None:
    count, dimension = 30_000, 256  # more than one chunk
    tiles = [TileId(18, x, 0, TileSource.IMPORTED) for x in range(count)]
    descriptors = np.zeros((count, dimension), np.float32)
    descriptors[29_000, 3] = value
    with pytest.raises(IndexBuildError, match=r"tile imported/18/29000/0 \(row 29000\) is not finite"):
        largest_component(tiles, descriptors)
