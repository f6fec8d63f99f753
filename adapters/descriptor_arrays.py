"""Checks of the arrays given to a descriptor index, so that every index refuses the same arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..domain.errors import IndexBuildError
from ..domain.values.tile_key import VariantTable
from ..domain.values.tiles import TileId

_FLOAT32 = np.dtype(np.float32)
_CHUNK_BYTES = 16 << 20


def checked_query(descriptor: Any, dimension: int, k: Any) -> npt.NDArray[np.float32]:
    """The query as one contiguous, aligned array.

    Raises `ValueError` unless `descriptor` has shape (dimension,), is float32 and finite, and k >= 1.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k must be a whole number of 1 or more, got {k!r}")
    if not isinstance(descriptor, np.ndarray):
        raise ValueError(f"descriptor must be a numpy array, got {type(descriptor).__name__}")
    if descriptor.dtype != _FLOAT32:
        raise ValueError(f"descriptor must be float32, got {descriptor.dtype}")
    if descriptor.shape != (dimension,):
        raise ValueError(f"descriptor must have shape ({dimension},), got {descriptor.shape}")
    query = np.ascontiguousarray(descriptor)
    if not query.flags.aligned:
        query = query.copy()
    finite = np.isfinite(query)
    if np.count_nonzero(finite) < dimension:  # a microsecond less than `all`
        raise ValueError(f"descriptor must be finite, component {int(np.argmin(finite))} is not")
    return query


def check_descriptors(tile_ids: Sequence[TileId], descriptors: Any) -> None:
    """Raise `IndexBuildError` unless row i of a float32 array of shape (n, d) can belong to tile i.

    n and d are 1 or more. Components are not checked here.
    """
    if not isinstance(descriptors, np.ndarray):
        raise IndexBuildError(f"descriptors must be a numpy array, got {type(descriptors).__name__}")
    if descriptors.dtype != _FLOAT32:
        raise IndexBuildError(
            f"descriptors must be float32, got {descriptors.dtype}", remedy="convert with .astype('float32')"
        )
    if descriptors.ndim != 2:
        raise IndexBuildError(f"descriptors must have shape (n, d), got {descriptors.shape}")
    if len(tile_ids) != len(descriptors):
        raise IndexBuildError(f"{len(tile_ids)} tiles but {len(descriptors)} descriptors")
    if descriptors.size == 0:
        raise IndexBuildError(
            f"nothing to index: descriptors have shape {descriptors.shape}",
            remedy="bring in tiles and describe them first",
        )


def largest_component(tile_ids: Sequence[TileId], descriptors: npt.NDArray[np.float32]) -> float:
    """The largest magnitude among all components. Raises `IndexBuildError` when one is not finite.

    Reads by chunks, so that a mapped file is not copied into memory.
    """
    largest = 0.0
    for rows in _chunks(descriptors):
        part = descriptors[rows]
        # Both are NaN when any component is; one of them is infinite when a component of its sign is.
        low, high = float(part.min()), float(part.max())
        if not math.isfinite(low) or not math.isfinite(high):
            row = rows.start + int(np.argmin(np.isfinite(part).all(axis=1)))
            raise IndexBuildError(f"the descriptor of tile {tile_ids[row]} (row {row}) is not finite")
        largest = max(largest, -low, high)
    return largest


def encode_tiles(
    tile_ids: Sequence[TileId], encoder: Callable[[VariantTable], Callable[[TileId], int]]
) -> tuple[VariantTable, npt.NDArray[np.int64]]:
    """The tile keys, in the order given, and the table that decodes them.

    `encoder` gives the function that encodes tiles by a table: the compiled one or the domain's.
    Raises `IndexBuildError` for a repeated tile, and for more flights than a key can name.
    """
    try:
        variants = VariantTable.naming(tile_ids)
    except ValueError as error:
        raise IndexBuildError(f"too many flights for one index: {error}") from error
    keys = np.fromiter(map(encoder(variants), tile_ids), np.int64, count=len(tile_ids))
    in_order = np.sort(keys)
    twice = in_order[1:][in_order[1:] == in_order[:-1]]
    if twice.size:
        row = int(np.argmax(keys == twice[0]))
        raise IndexBuildError(f"tile {tile_ids[row]} comes more than once")
    return variants, keys


def _chunks(descriptors: npt.NDArray[np.float32]) -> Iterator[slice]:
    rows, dimension = descriptors.shape
    step = max(1, _CHUNK_BYTES // (dimension * _FLOAT32.itemsize))
    for start in range(0, rows, step):
        yield slice(start, start + step)
