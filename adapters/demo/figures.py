"""Durations measured in the flight, and their percentiles."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs


@attrs.frozen
class Samples:
    """Durations of one path, in microseconds."""

    microseconds: list[float] = attrs.field(factory=list)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the block, unless it raises."""
        start = time.perf_counter_ns()
        yield
        self.microseconds.append((time.perf_counter_ns() - start) / 1000)

    def percentile(self, share: float) -> float | None:
        """The smallest sample that `share` of all samples do not exceed; None without samples."""
        if not self.microseconds:
            return None
        ordered = sorted(self.microseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def __len__(self) -> int:
        return len(self.microseconds)
