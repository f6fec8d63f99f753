"""Which sectors cover a place, and the judge by them."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, runtime_checkable

from ..policies.freshness import FreshnessVerdict, Rules
from ..values.sectors import SectorBoundary, SectorClassification
from ..values.tile_grid import Bbox
from ..values.tiles import TileId


@runtime_checkable
class SectorIndex(Protocol):
    """Which sectors cover a point or a box. Any number of threads may ask at once."""

    def sectors_at(self, lat: float, lon: float) -> tuple[SectorBoundary, ...]:
        """The sectors whose shape holds the point (edges included), ordered by id."""

    def sectors_intersecting(self, bbox: Bbox) -> tuple[SectorBoundary, ...]:
        """The sectors whose shape shares at least one point with the box, ordered by id."""


@runtime_checkable
class TileJudge(Protocol):
    """Judges tiles by sectors and rules that are fixed. Any number of threads may ask at once."""

    def verdict_on(self, tile_id: TileId, captured_us: int, now: datetime) -> FreshnessVerdict:
        """The verdict of `policies.freshness.judge_freshness` on the sectors that touch the tile's box.

        `captured_us` is the capture time in microseconds since 1970. The sector that is named is the first by
        id of those that say so.
        """


@runtime_checkable
class SupportsJudging(Protocol):
    """A sector index that finds and judges in one call, faster than by listing sectors."""

    def judge(self, rules: Rules, default_classification: SectorClassification) -> TileJudge:
        """A judge by this index's sectors and by `rules`, which holds each of their classifications."""
