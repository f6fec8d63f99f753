"""The check of a query in front of the compiled search."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...domain.values.descriptors import DescriptorMetric
from ...ext import are_within
from ..descriptor_arrays import LONGEST, SHORTEST, checked_query


def quickly_checked_query(
    descriptor: Any, dimension: int, k: Any, metric: DescriptorMetric
) -> npt.NDArray[np.float32]:
    """What `checked_query` gives and raises; for nearly every good query without the 2 us of NumPy."""
    if (
        type(k) is int
        and k >= 1
        and type(descriptor) is np.ndarray
        # No component above this, so the length is not above LONGEST; by inner product one of twice SHORTEST,
        # so the length is above SHORTEST, however its square is rounded.
        and are_within(
            descriptor,
            dimension,
            0.0 if metric is DescriptorMetric.L2 else 2 * SHORTEST,
            LONGEST / dimension,
        )
    ):
        return descriptor
    return checked_query(descriptor, dimension, k, metric)
