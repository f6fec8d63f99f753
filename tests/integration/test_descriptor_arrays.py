"""What every descriptor index takes for a query, and what for descriptors."""

from __future__ import annotations

import numpy as np
import pytest

from aerotile.adapters.descriptor_arrays import check_components, checked_query
from aerotile.domain.errors import IndexBuildError
from aerotile.domain.values.descriptors import VectorStorage
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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("component", [3e38, -3e38, 4e17])
def test_a_query_whose_distances_are_no_float32_is_refused(component: float) -> None:
    with pytest.raises(ValueError, match=r"length 1e\+18 or less, got .*; normalise the descriptors"):
        checked_query(np.full(8, component, np.float32), 8, 1)
    longest = np.full(8, 3.5e17, np.float32)
    assert checked_query(longest, 8, 1) is longest


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_component_that_is_not_finite_is_named(value: float) -> None:
    query = QUERY.copy()
    query[5] = value
    with pytest.raises(ValueError, match="component 5 is not"):
        checked_query(query, 8, 1)


TILES = [TileId(5, x, 0, TileSource.IMPORTED) for x in range(4)]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_component_that_float16_does_not_hold_is_refused_on_either_side_of_nought(sign: int) -> None:
    descriptors = np.array([[0, 1], [-70_000, 2], [3, 3], [0, 0]], np.float32) * np.float32(sign)
    with pytest.raises(IndexBuildError, match="component of 70000 does not fit into float16"):
        check_components(TILES, descriptors, VectorStorage.FLOAT16)
    check_components(TILES, descriptors, VectorStorage.FLOAT32)


def test_a_block_of_which_no_tile_was_described_has_nothing_to_refuse() -> None:
    check_components([], np.empty((0, 0), np.float32), VectorStorage.FLOAT16)


@pytest.mark.parametrize("factor", [1e-6, 1e-7, 1e-9, 1e-12])
def test_a_descriptor_that_float16_would_store_as_another_one_is_refused_by_name(factor: float) -> None:
    descriptors = np.random.default_rng(5).normal(size=(4, 64)).astype(np.float32)
    descriptors[2] *= np.float32(factor)
    with pytest.raises(IndexBuildError, match=r"tile imported/5/2/0 \(row 2\) is too small for float16"):
        check_components(TILES, descriptors, VectorStorage.FLOAT16)
    check_components(TILES, descriptors, VectorStorage.FLOAT32)


@pytest.mark.parametrize("factor", [1.0, 1e-2, 1e-4])
def test_a_descriptor_that_float16_stores_closely_enough_is_taken(factor: float) -> None:
    descriptors = np.random.default_rng(5).normal(size=(4, 64)).astype(np.float32) * np.float32(factor)
    descriptors[3] = 0
    descriptors[2, 1:] = 1e-9  # small beside its first component
    stored = descriptors.astype(np.float16).astype(np.float32)
    lost = np.linalg.norm(descriptors - stored, axis=1)[:3] / np.linalg.norm(descriptors, axis=1)[:3]
    assert lost.max() < 1e-2
    check_components(TILES, descriptors, VectorStorage.FLOAT16)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_tile_whose_descriptor_is_not_finite_is_named_wherever_it_is(value: float) -> None:
    count, dimension = 30_000, 256  # more than one chunk
    tiles = [TileId(18, x, 0, TileSource.IMPORTED) for x in range(count)]
    descriptors = np.zeros((count, dimension), np.float32)
    descriptors[29_000, 3] = value
    with pytest.raises(IndexBuildError, match=r"tile imported/18/29000/0 \(row 29000\) is not finite"):
        check_components(tiles, descriptors, VectorStorage.FLOAT32)
