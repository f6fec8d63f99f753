"""How values that are no bytes become bytes: one scale for a whole raster, never one a tile."""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

Values: TypeAlias = npt.NDArray[Any]
Bytes: TypeAlias = npt.NDArray[np.uint8]

_LOW_PERCENT, _HIGH_PERCENT = 2.0, 98.0


@attrs.frozen
class ValueScale:
    """Values from `low` to `high` become 0 to 255; those beyond are cut."""

    low: float
    high: float
    origin: str
    """Where the two values come from, for the report."""

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g} scaled to 0..255 ({self.origin})"

    def apply(self, values: Values) -> Bytes:
        """The values as bytes, rounded."""
        factor = 255.0 / (self.high - self.low)
        scaled = (values.astype(np.float32) - np.float32(self.low)) * np.float32(factor)
        scaled += np.float32(0.5)
        # Values that are no number lie where the raster is not valid.
        scaled_bytes: Bytes = np.nan_to_num(np.clip(scaled, 0.0, 255.0), copy=False).astype(np.uint8)
        return scaled_bytes


def scale_of_sample(sample: Values) -> ValueScale:
    """The scale from the 2nd to the 98th percentile of a sample of valid values of all shown bands.

    One scale for all bands keeps their balance, which is the colour. Raises `ValueError` for a sample
    without two different values.
    """
    finite = sample[np.isfinite(sample)]
    if finite.size == 0:
        raise ValueError("no valid value in the sample")
    low, high = (float(one) for one in np.percentile(finite, (_LOW_PERCENT, _HIGH_PERCENT)))
    if not low < high:
        low, high = float(finite.min()), float(finite.max())
    if not low < high:
        raise ValueError(f"all {finite.size} values of the sample are {low:g}")
    return ValueScale(low, high, f"2nd to 98th percentile of {finite.size} values")
