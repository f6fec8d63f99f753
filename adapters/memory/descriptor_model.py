"""A network for tests: means of cells of a picture, weighed by a seed."""

from __future__ import annotations

import hashlib

import numpy as np

from ...domain.values.pictures import Descriptors, Pictures, check_headings, check_pictures

_CELLS = 4


class MemoryDescriptorModel:
    """A `DescriptorModel` of 48 numbers. Pictures have a multiple of 4 pixels a side."""

    def __init__(self, *, seed: int = 0, headings: tuple[int, ...] = (0,)) -> None:
        self._weights = np.random.default_rng(seed).normal(size=(3 * _CELLS**2,) * 2).astype(np.float32)
        self._headings = check_headings(headings)

    @property
    def name(self) -> str:
        return f"cells-{self.digest[:16]}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self._weights.tobytes()).hexdigest()

    @property
    def headings(self) -> tuple[int, ...]:
        return self._headings

    def describe(self, pictures: Pictures) -> Descriptors:
        check_pictures(pictures)
        count, height, width, _ = pictures.shape
        if height % _CELLS or width % _CELLS:
            raise ValueError(f"pictures must have a multiple of {_CELLS} pixels a side, got {pictures.shape}")
        cells = pictures.reshape(count, _CELLS, height // _CELLS, _CELLS, width // _CELLS, 3)
        means = cells.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
        rows: Descriptors = (means / np.float32(255)) @ self._weights
        return rows
