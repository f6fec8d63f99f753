"""A picture of half the size: each pixel is the mean of the four that it covers."""

from __future__ import annotations

from typing import TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

Planes: TypeAlias = npt.NDArray[np.uint8]
"""Bands, rows, columns."""
Mask: TypeAlias = npt.NDArray[np.bool_]
"""Rows, columns; true where there is ground."""


@attrs.frozen(eq=False)
class Picture:
    """Pixels and where they show ground."""

    planes: Planes
    valid: Mask | None
    """None: everywhere."""

    def part(self, row: int, column: int, size: int) -> Picture:
        """A square part, by its first row and column. Shares the memory."""
        rows, columns = slice(row, row + size), slice(column, column + size)
        valid = None if self.valid is None else self.valid[rows, columns]
        return Picture(self.planes[:, rows, columns], valid)

    @property
    def valid_fraction(self) -> float:
        """The share of pixels that show ground."""
        return 1.0 if self.valid is None else int(np.count_nonzero(self.valid)) / self.valid.size


def halved(picture: Picture) -> Picture:
    """The picture at half its size. A pixel shows ground where two or more of its four do.

    Its colour is the mean of those that do, rounded. Rows and columns are even in number.
    """
    planes, valid = picture.planes, picture.valid
    if valid is None:
        return Picture(((_sums_of_four(planes) + 2) >> 2).astype(np.uint8), None)
    counts = _sums_of_four(valid.view(np.uint8)[np.newaxis])[0]
    sums = _sums_of_four(planes * valid.view(np.uint8))
    means = (sums + (counts >> 1)) // np.maximum(counts, 1)
    covered = counts >= 2
    return Picture(np.where(covered, means, 0).astype(np.uint8), covered)


def joined(quarters: tuple[Picture, Picture, Picture, Picture]) -> Picture:
    """Four pictures of one size as one: north-west, north-east, south-west, south-east."""
    size = quarters[0].planes.shape[1]
    planes = np.empty((quarters[0].planes.shape[0], 2 * size, 2 * size), np.uint8)
    valid = None if all(one.valid is None for one in quarters) else np.ones((2 * size, 2 * size), np.bool_)
    for number, one in enumerate(quarters):
        row, column = divmod(number, 2)
        rows, columns = slice(row * size, (row + 1) * size), slice(column * size, (column + 1) * size)
        planes[:, rows, columns] = one.planes
        if valid is not None and one.valid is not None:
            valid[rows, columns] = one.valid
    return Picture(planes, valid)


def _sums_of_four(planes: Planes) -> npt.NDArray[np.uint16]:
    """Pairs of neighbouring bytes are read as one number of 16 bits, which is twice as fast as strides."""
    pairs = np.ascontiguousarray(planes).view("<u2")
    across = (pairs & 0xFF) + (pairs >> 8)
    sums: npt.NDArray[np.uint16] = across[:, 0::2] + across[:, 1::2]
    return sums
