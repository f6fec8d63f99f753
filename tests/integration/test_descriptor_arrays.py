"""What every descriptor index takes for a query, and what for descriptors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from aerotile.adapters.descriptor_arrays import check_components, checked_query
from aerotile.adapters.faiss import queries
from aerotile.adapters.faiss.queries import quickly_checked_query
from aerotile.domain.errors import IndexBuildError
from aerotile.domain.values.descriptors import DescriptorMetric, VectorStorage
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import are_within

L2 = DescriptorMetric.L2
QUERY = np.arange(8, dtype=np.float32)


def test_a_good_query_is_given_back_as_it_is() -> None:
    assert checked_query(QUERY, 8, 1, L2) is QUERY


def test_a_query_with_gaps_between_its_components_is_made_whole() -> None:
    checked = checked_query(np.repeat(QUERY, 2)[::2], 8, 1, L2)
    assert checked.flags.c_contiguous
    assert np.array_equal(checked, QUERY)


def test_a_query_that_begins_at_an_odd_address_is_moved() -> None:
    odd = np.frombuffer(b"\0" + QUERY.tobytes(), np.float32, offset=1)
    checked = checked_query(odd, 8, 1, L2)
    assert checked.flags.aligned
    assert np.array_equal(checked, QUERY)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("component", [3e38, -3e38, 4e17])
def test_a_query_whose_distances_are_no_float32_is_refused(component: float) -> None:
    with pytest.raises(ValueError, match=r"length 1e\+18 or less, got .*; normalise the descriptors"):
        checked_query(np.full(8, component, np.float32), 8, 1, L2)
    longest = np.full(8, 3.5e17, np.float32)
    assert checked_query(longest, 8, 1, L2) is longest


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_component_that_is_not_finite_is_named(value: float) -> None:
    query = QUERY.copy()
    query[5] = value
    with pytest.raises(ValueError, match="component 5 is not"):
        checked_query(query, 8, 1, L2)


def _odd(values: Any) -> Any:
    return np.frombuffer(b"\0" + values.tobytes(), values.dtype, offset=1)


_LAYOUTS: dict[str, Any] = {
    "whole": lambda values: values,
    "read-only": lambda values: np.frombuffer(values.tobytes(), values.dtype),
    "with gaps": lambda values: np.repeat(values, 2)[::2],
    "backwards": lambda values: values[::-1].copy()[::-1],
    "at an odd address": _odd,
    "of a subclass": lambda values: values.view(np.memmap),
    "masked": np.ma.masked_array,
    "a row of two": lambda values: np.stack([values, values]),
    "one too long": lambda values: np.append(values, values[:1]),
    "one too short": lambda values: values[:-1].copy(),
    "of the other byte order": lambda values: values.astype(values.dtype.newbyteorder()),
    "float64": lambda values: values.astype(np.float64),
    "int32": lambda values: np.arange(len(values), dtype=np.int32),
    "no array": lambda values: values.tolist(),
    "bytes": lambda values: values.tobytes(),
    "nothing": lambda values: None,
}
_VALUES = (
    0.0,
    -1.0,
    1e-45,
    -8e-16,
    1e-15,
    1.0000001e-15,
    -1.999e-15,
    2.001e-15,
    1e17,
    1.25e17,
    -1.26e17,
    3.5e17,
    3.54e17,
    1e18,
    -1.1e18,
    3e38,
    np.inf,
    -np.inf,
    np.nan,
)
_COUNTS: tuple[Any, ...] = (1, 7, np.int64(3), 0, -1, True, 1.0, None)


def _outcome(
    check: Callable[..., Any], query: Any, dimension: int, k: Any, metric: DescriptorMetric
) -> tuple[str, str]:
    try:
        checked = check(query, dimension, k, metric)
    except ValueError as error:
        return "refused", str(error)
    assert checked.flags.c_contiguous
    assert checked.flags.aligned
    return "taken", checked.tobytes().hex()


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_the_compiled_look_at_a_query_changes_neither_what_is_taken_nor_an_error(layout: str) -> None:
    cases = []
    for dimension, value, everywhere in product((1, 8, 37), _VALUES, (True, False)):
        values = np.arange(dimension, dtype=np.float32)
        values[slice(None) if everywhere else slice(-1, None)] = value
        given = _LAYOUTS[layout](values)
        cases += [(given, dimension, k, metric) for k, metric in product(_COUNTS, DescriptorMetric)]
    assert [_outcome(quickly_checked_query, *case) for case in cases] == [
        _outcome(checked_query, *case) for case in cases
    ]


@pytest.mark.parametrize("metric", DescriptorMetric)
def test_a_good_query_needs_the_compiled_look_alone(
    metric: DescriptorMetric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(queries, "checked_query")
    assert quickly_checked_query(QUERY, 8, 1, metric) is QUERY


@pytest.mark.parametrize("place", range(37))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.5, -2.5])
def test_one_component_beyond_is_seen_at_any_place(place: int, value: float) -> None:
    query = np.full(37, -2.0, np.float32)
    assert are_within(query, 37, 2.0, 2.0)
    query[place] = value
    assert not are_within(query, 37, 2.0, 2.0)


@pytest.mark.parametrize("place", range(37))
def test_one_component_that_is_large_enough_is_seen_at_any_place(place: int) -> None:
    query = np.full(37, -1.0, np.float32)
    assert not are_within(query, 37, 1.5, 2.0)
    query[place] = -1.5
    assert are_within(query, 37, 1.5, 2.0)


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
