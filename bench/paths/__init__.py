"""The paths of the target table: what is measured on each, beside which floor and which peers."""

from __future__ import annotations

from harness.subjects import GrowthCurve, MeasuredPath

from . import reads

PATHS: tuple[MeasuredPath, ...] = (reads.KEPT, reads.FIRST_TIME, reads.BYTES)

GROWTH: tuple[GrowthCurve, ...] = ()
