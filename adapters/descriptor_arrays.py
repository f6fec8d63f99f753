"""What every descriptor index asks of the arrays that it is given, so that all refuse the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..domain.errors import IndexBuildError
from ..domain.tiles import TileId


def check_query(descriptor: Any, dimension: int, k: Any) -> None:
    """Raise `ValueError` unless `descriptor` has shape (dimension,), is float32 and finite, and k >= 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k must be a whole number of 1 or more, got {k!r}")
    if not isinstance(descriptor, np.ndarray):
        raise ValueError(f"descriptor must be a numpy array, got {type(descriptor).__name__}")
    if descriptor.dtype != np.float32:
        raise ValueError(f"descriptor must be float32, got {descriptor.dtype}")
    if descriptor.shape != (dimension,):
        raise ValueError(f"descriptor must have shape ({dimension},), got {descriptor.shape}")
    if not np.isfinite(descriptor).all():
        raise ValueError(f"descriptor must be finite, component {_first_not_finite(descriptor)} is not")


def check_descriptors(tile_ids: Sequence[TileId], descriptors: Any) -> None:
    """Raise `IndexBuildError` unless row i of a finite float32 array of shape (n, d) can belong to tile i.

    n and d are 1 or more, and no tile comes twice.
    """
    if not isinstance(descriptors, np.ndarray):
        raise IndexBuildError(f"descriptors must be a numpy array, got {type(descriptors).__name__}")
    if descriptors.dtype != np.float32:
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
    finite = np.isfinite(descriptors).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise IndexBuildError(f"the descriptor of tile {tile_ids[row]} (row {row}) is not finite")
    times = Counter(tile_ids)
    if len(times) != len(tile_ids):
        raise IndexBuildError(f"tile {times.most_common(1)[0][0]} comes more than once")


def _first_not_finite(descriptor: npt.NDArray[np.float32]) -> int:
    return int(np.argmin(np.isfinite(descriptor)))
