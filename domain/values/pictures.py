"""Pictures that a network describes, and the headings at which a tile is described."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from .validators import is_whole

Pictures = npt.NDArray[np.uint8]
"""Shape (n, height, width, 3): red, green, blue."""
Picture = npt.NDArray[np.uint8]
"""Shape (height, width, 3): red, green, blue."""
Mask = npt.NDArray[np.bool_]
"""Shape (height, width)."""
Descriptors = npt.NDArray[np.float32]
"""Shape (n, d)."""

JPEG_QUALITY = 90
"""Of tiles that are encoded anew, whatever they are made of."""

HEADINGS = (0, 90, 180, 270)
"""Quarter turns: any other one would show ground beyond the tile in its corners."""


@attrs.frozen(hash=False)
class MaskedPicture:
    """A picture and where it shows ground."""

    pixels: Picture = attrs.field(eq=attrs.cmp_using(eq=np.array_equal))
    valid: Mask = attrs.field(eq=attrs.cmp_using(eq=np.array_equal))

    @classmethod
    def whole(cls, pixels: Picture) -> MaskedPicture:
        """A picture that shows ground all over."""
        return cls(pixels, np.ones(pixels.shape[:2], np.bool_))

    @property
    def valid_fraction(self) -> float:
        """The share of pixels that show ground."""
        return int(np.count_nonzero(self.valid)) / self.valid.size

    def over(self, below: MaskedPicture) -> MaskedPicture:
        """Two pictures of one size as one: this one wherever it shows ground."""
        return MaskedPicture(
            np.where(self.valid[..., np.newaxis], self.pixels, below.pixels), self.valid | below.valid
        )


def check_headings(headings: Sequence[Any]) -> tuple[int, ...]:
    """The headings as a tuple. Raises `ValueError` unless they are of `HEADINGS`, each once, one or more."""
    found = tuple(headings)
    if not found or len(set(found)) != len(found):
        raise ValueError(f"headings must be one or more, each once, got {list(found)!r}")
    for heading in found:
        if not is_whole(heading) or heading not in HEADINGS:
            raise ValueError(f"a heading must be one of {', '.join(map(str, HEADINGS))}, got {heading!r}")
    return found


def turned(pictures: Pictures, heading: int) -> Pictures:
    """Pictures with north up as a camera of that heading shows them: what lies ahead is up."""
    return np.ascontiguousarray(np.rot90(pictures, heading // 90, axes=(1, 2)))


def check_pictures(pictures: Any) -> None:
    """Raise `ValueError` unless `pictures` is an array as `Pictures` has it, of one picture or more."""
    if not isinstance(pictures, np.ndarray):
        raise ValueError(f"pictures must be a numpy array, got {type(pictures).__name__}")
    if pictures.dtype != np.uint8:
        raise ValueError(f"pictures must be unsigned bytes (uint8), got {pictures.dtype}")
    if pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape:
        raise ValueError(f"pictures must have shape (n, height, width, 3), got {pictures.shape}")
