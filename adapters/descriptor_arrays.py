"""Checks of the arrays given to a descriptor index, so that every index refuses the same arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ..domain.errors import IndexBuildError
from ..domain.values.catalogue_entries import SHA256_BYTES
from ..domain.values.descriptors import DescriptorMetric, VectorStorage, check_descriptor_model
from ..domain.values.tile_key import VariantTable
from ..domain.values.tiles import TileId
from ..domain.values.validators import check_aware_utc, check_kind, check_methods

_COMPONENTS: dict[VectorStorage, np.dtype[Any]] = {
    VectorStorage.FLOAT16: np.dtype("<f2"),
    VectorStorage.FLOAT32: np.dtype("<f4"),
}
_FLOAT32 = np.dtype(np.float32)
_CHUNK_BYTES = 16 << 20
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)
_SAFE_FLOAT16_RMS = 1e-3
"""A descriptor whose components have this root mean square or more loses far less than `_LARGEST_LOSS`.

In float16 a component below 6.1e-5 is off by 3e-8 at most, any other by one part in 2,048.
"""
_LARGEST_LOSS = 1e-2
"""Part of a descriptor's length that may be lost; a descriptor of length 1 loses about 3e-4."""
SHORTEST, LONGEST = 1e-15, 1e18
"""Lengths of descriptors and queries whose squared distances are numbers of float32."""
_NORMALISE = "normalise the descriptors to length 1"


def component_of(storage: VectorStorage) -> np.dtype[Any]:
    """A component of a stored vector, in memory and in files."""
    return _COMPONENTS[storage]


def checked_query(
    descriptor: Any, dimension: int, k: Any, metric: DescriptorMetric
) -> npt.NDArray[np.float32]:
    """The query as one contiguous, aligned array.

    Raises `ValueError` unless `descriptor` has shape (dimension,), is float32, finite and of length 1e18 or
    less, and k >= 1. So every distance to a stored descriptor is a number of float32. By inner product it
    must have length 1e-15 or more: of a shorter one the products with all descriptors end as the same zero.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k must be a whole number of 1 or more, got {k!r}")
    if not isinstance(descriptor, np.ndarray):
        raise ValueError(f"descriptor must be a numpy array, got {type(descriptor).__name__}")
    if isinstance(descriptor, np.ma.MaskedArray):  # what lies under a mask is no component of a descriptor
        raise ValueError("descriptor must not be a masked array")
    if descriptor.dtype != _FLOAT32:
        raise ValueError(f"descriptor must be float32, got {descriptor.dtype}")
    if descriptor.shape != (dimension,):
        raise ValueError(f"descriptor must have shape ({dimension},), got {descriptor.shape}")
    query = np.ascontiguousarray(descriptor)
    if not query.flags.aligned:
        query = query.copy()
    if not _squared_length(query) <= LONGEST**2:  # NaN is no more than anything
        finite = np.isfinite(query)
        if not finite.all():
            raise ValueError(f"descriptor must be finite, component {int(np.argmin(finite))} is not")
        length = float(np.linalg.norm(query.astype(np.float64)))
        raise ValueError(f"descriptor must have length {LONGEST:g} or less, got {length:.3g}; {_NORMALISE}")
    if metric is DescriptorMetric.INNER_PRODUCT and _squared_length(query) < SHORTEST**2:
        length = float(np.linalg.norm(query.astype(np.float64)))
        raise ValueError(
            f"descriptor must have length {SHORTEST:g} or more by inner product, got {length:.3g}; "
            f"{_NORMALISE}"
        )
    return query


@np.errstate(over="ignore", invalid="ignore")
def _squared_length(query: npt.NDArray[np.float32]) -> np.float32:
    """Infinite where it is no number of float32."""
    squared: np.float32 = query.dot(query)
    return squared


def check_contents(content_sha256: npt.NDArray[np.uint8] | None, count: int) -> None:
    """Raise `IndexBuildError` for digests of tiles that are not `count` rows of 32 bytes."""
    if content_sha256 is None:
        return
    if not isinstance(content_sha256, np.ndarray) or content_sha256.dtype != np.uint8:
        raise IndexBuildError("content_sha256 must be an array of uint8")
    if content_sha256.shape != (count, SHA256_BYTES):
        raise IndexBuildError(
            f"content_sha256 must have shape ({count}, {SHA256_BYTES}), got {content_sha256.shape}"
        )


def check_build(
    descriptor_model: str, built_at: datetime, progress: Callable[[int, int], None] | None
) -> None:
    """Raise `TypeError` or `ValueError` for a wrong argument before a build that takes minutes."""
    check_descriptor_model(descriptor_model)
    check_aware_utc(built_at, "built_at")
    if progress is not None:
        check_methods(progress, ("__call__",), "progress")


def check_descriptors(tile_ids: Any, descriptors: Any) -> None:
    """Raise `IndexBuildError` unless row i of a float32 array of shape (n, d) can belong to tile i.

    n and d are 1 or more. Neither components nor tiles are looked at here. Raises `TypeError` unless
    `tile_ids` is a sequence.
    """
    if isinstance(tile_ids, (str, bytes)) or not hasattr(type(tile_ids), "__getitem__"):
        raise TypeError(f"tile_ids must be a sequence of TileId, got {type(tile_ids).__name__}")
    if not isinstance(descriptors, np.ndarray):
        raise IndexBuildError(f"descriptors must be a numpy array, got {type(descriptors).__name__}")
    if isinstance(descriptors, np.ma.MaskedArray):
        raise IndexBuildError("descriptors must not be a masked array")
    if descriptors.dtype != _FLOAT32:
        raise IndexBuildError(
            f"descriptors must be float32, got {descriptors.dtype}", remedy="convert with .astype('float32')"
        )
    if descriptors.ndim != 2:
        raise IndexBuildError(f"descriptors must have shape (n, d), got {descriptors.shape}")
    if len(tile_ids) != len(descriptors):
        raise IndexBuildError(f"{len(tile_ids)} tile_ids but {len(descriptors)} descriptors")
    if descriptors.size == 0:
        raise IndexBuildError(
            f"nothing to index: descriptors have shape {descriptors.shape}",
            remedy="bring in tiles and describe them first",
        )


def check_components(
    tile_ids: Sequence[TileId], descriptors: npt.NDArray[np.float32], storage: VectorStorage
) -> None:
    """Raise `IndexBuildError` unless every component is finite and every descriptor survives its storage.

    Raises `TypeError` for a tile that is none.

    A float16 holds no more than 65,504: a larger component would be infinite, and the distance to its tile
    with it. It holds nothing below 6e-8 and little below 6e-5: a descriptor of so small numbers would be
    stored as another one, in the end as zero, and every distance to it would be the same. Likewise the square
    of a length must be a number of float32, in which distances are. Reads by chunks, so that a mapped file is
    not copied into memory.
    """
    for row, tile_id in enumerate(tile_ids):
        check_kind(tile_id, TileId, f"tile_ids[{row}]")
    for rows in _chunks(descriptors):
        part = descriptors[rows]
        # Both are NaN when any component is; one of them is infinite when a component of its sign is.
        low, high = float(part.min()), float(part.max())
        if not math.isfinite(low) or not math.isfinite(high):
            row = rows.start + int(np.argmin(np.isfinite(part).all(axis=1)))
            raise IndexBuildError(f"the descriptor of tile {tile_ids[row]} (row {row}) is not finite")
        lengths = np.sqrt(np.einsum("ij,ij->i", part, part, dtype=np.float64))
        extreme = np.flatnonzero((lengths > LONGEST) | ((lengths > 0) & (lengths < SHORTEST)))
        if extreme.size:
            row = int(extreme[0])
            raise IndexBuildError(
                f"the descriptor of tile {tile_ids[rows.start + row]} (row {rows.start + row}) has length "
                f"{lengths[row]:.3g}: its square is no number of float32, in which distances are",
                remedy=_NORMALISE,
            )
        if storage is VectorStorage.FLOAT16:
            _check_float16(tile_ids, part, rows.start, max(-low, high), lengths)


def _check_float16(
    tile_ids: Sequence[TileId],
    part: npt.NDArray[np.float32],
    first: int,
    largest: float,
    lengths: npt.NDArray[np.float64],
) -> None:
    remedy = f"{_NORMALISE}, or set index.storage to float32"
    if largest > _LARGEST_FLOAT16:
        raise IndexBuildError(
            f"a descriptor component of {largest:g} does not fit into float16", remedy=remedy
        )
    suspects = np.flatnonzero((lengths > 0) & (lengths < _SAFE_FLOAT16_RMS * math.sqrt(part.shape[1])))
    if not suspects.size:
        return
    given = part[suspects].astype(np.float64)
    lost = np.linalg.norm(given - given.astype(np.float16), axis=1) / lengths[suspects]
    row = int(np.argmax(lost))
    if lost[row] > _LARGEST_LOSS:
        number = first + int(suspects[row])
        raise IndexBuildError(
            f"the descriptor of tile {tile_ids[number]} (row {number}) is too small for float16: its length "
            f"is {lengths[suspects[row]]:.3g}, and {lost[row]:.0%} of it would be lost",
            remedy=remedy,
        )


def encode_tiles(
    tile_ids: Sequence[TileId], encoder: Callable[[VariantTable], Callable[[TileId], int]]
) -> tuple[VariantTable, npt.NDArray[np.int64]]:
    """The tile keys, in the order given, and the table that decodes them.

    `encoder` gives the function that encodes tiles by a table: the compiled one or the domain's.
    Raises `IndexBuildError` for more flights than a key can name.
    """
    try:
        variants = VariantTable.naming(tile_ids)
    except ValueError as error:
        raise IndexBuildError(f"too many flights for one index: {error}") from error
    return variants, np.fromiter(map(encoder(variants), tile_ids), np.int64, count=len(tile_ids))


def _chunks(descriptors: npt.NDArray[np.float32]) -> Iterator[slice]:
    rows, dimension = descriptors.shape
    step = max(1, _CHUNK_BYTES // max(1, dimension * _FLOAT32.itemsize))
    for start in range(0, rows, step):
        yield slice(start, start + step)
