"""Figures from samples. Percentiles are samples that were seen (nearest rank), never interpolated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np

from .operations import Seconds

PERCENTILES = (1, 10, 25, 50, 75, 90, 95, 99, 99.9)


def percentile(sorted_samples: Seconds, percent: float) -> float:
    """The smallest sample that at least `percent` of all samples do not exceed. Needs one sample or more."""
    if len(sorted_samples) == 0:
        raise ValueError("no percentile of no samples")
    rank = math.ceil(len(sorted_samples) * percent / 100)
    return float(sorted_samples[max(rank, 1) - 1])


@attrs.frozen(kw_only=True)
class Summary:
    """One subject's samples in figures, in seconds."""

    count: int
    mean: float
    least: float
    most: float
    percentiles: dict[str, float]
    block_medians: tuple[float, ...]

    @property
    def p50(self) -> float:
        """The median."""
        return self.percentiles["50"]

    @property
    def p99(self) -> float:
        """The 99th percentile; of fewer than 100 samples it is the slowest."""
        return self.percentiles["99"]

    @classmethod
    def of(cls, blocks: Sequence[Seconds]) -> Summary:
        """The summary of all blocks of one subject, in the order in which they ran."""
        samples = np.sort(np.concatenate(blocks))
        return cls(
            count=len(samples),
            mean=float(samples.mean()),
            least=float(samples[0]),
            most=float(samples[-1]),
            percentiles={f"{percent:g}": percentile(samples, percent) for percent in PERCENTILES},
            block_medians=tuple(percentile(np.sort(block), 50) for block in blocks),
        )


def paired_ratio(one: Summary, other: Summary) -> float:
    """How many times as long `one` takes as `other`: the median over blocks of the ratio of their medians.

    Blocks that ran one after the other met the same machine, so a noisy minute moves both, not their ratio.
    A subject that took part in fewer blocks took part in the first ones.
    """
    pairs = zip(one.block_medians, other.block_medians, strict=False)
    ratios = sorted(a / b for a, b in pairs)
    middle = len(ratios) // 2
    return ratios[middle] if len(ratios) % 2 else (ratios[middle - 1] + ratios[middle]) / 2
