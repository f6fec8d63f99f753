"""What pytest collects: every block of every path, and every point of every growth curve.

Run by `run.py`, whose plugin knows the blocks and keeps the samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.plugin import Block
    from harness.subjects import GrowthCurve


def test_path(block: Block, measure: Callable[[Block], None]) -> None:
    measure(block)


def test_growth(
    growth_point: tuple[GrowthCurve, int], measure_growth: Callable[[GrowthCurve, int], None]
) -> None:
    measure_growth(*growth_point)
