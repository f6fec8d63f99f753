"""What the demo's aircraft believes of its place: well known at first, then drifting, then lost."""

from __future__ import annotations

import math
from collections import Counter
from enum import Enum

import attrs
import numpy as np

from ...domain.values.areas import Area
from ...domain.values.shapes import EARTH_RADIUS_M
from .camera import FramePlan
from .figures import Samples
from .picture import FrameOutcome

KNOWN_WITHIN_M = 300_000.0
"""Half the width of a tile of the demo's base at the equator."""
DRIFTED_TO_M = 1_500_000.0


class Phase(Enum):
    """How well the aircraft knows its place, in thirds of the flight."""

    KNOWN = f"known within {KNOWN_WITHIN_M / 1000:,.0f} km"
    DRIFTING = f"drifting, to {DRIFTED_TO_M / 1000:,.0f} km"
    LOST = "lost"


def phase_at(share: float) -> Phase:
    """The phase when `share` of the flight, from 0 to 1, is over."""
    return list(Phase)[min(2, int(3 * share))]


@attrs.define(kw_only=True)
class PhaseLog:
    """The frames of one phase: their searches within the prior beside those of the whole index."""

    land_frames: int = 0
    within: Counter[FrameOutcome] = attrs.field(factory=Counter)
    """Of frames over land, like `whole`; empty where there is no prior."""
    whole: Counter[FrameOutcome] = attrs.field(factory=Counter)
    search_within: Samples = attrs.field(factory=Samples)
    """Of every frame, over the sea too, like `search_whole`."""
    search_whole: Samples = attrs.field(factory=Samples)

    def rates(self, outcomes: Counter[FrameOutcome]) -> tuple[float | None, float | None]:
        """The shares of hits among the first and among all candidates; None without a frame."""
        frames = outcomes.total()
        if not frames:
            return None, None
        return outcomes[FrameOutcome.TOP_1] / frames, 1 - outcomes[FrameOutcome.MISS] / frames


def prior_of(plan: FramePlan, share: float, zoom: int) -> Area | None:
    """An area that holds the frame's place, its centre wrong by up to its radius; None for a lost aircraft.

    `share` is the part of the flight that is over, from 0 to 1.
    """
    phase = phase_at(share)
    if phase is Phase.LOST:
        return None
    drift = 3 * share - 1 if phase is Phase.DRIFTING else 0.0
    radius_m = KNOWN_WITHIN_M + drift * (DRIFTED_TO_M - KNOWN_WITHIN_M)
    chance = np.random.default_rng(plan.noise_seed)
    lat, lon = _place_from(plan.lat, plan.lon, chance.uniform(0, math.tau), radius_m * chance.uniform(0, 1))
    return Area.around(lat, lon, radius_m, [zoom])


def _place_from(lat: float, lon: float, bearing: float, distance_m: float) -> tuple[float, float]:
    """The place so far along a great circle (spherical trigonometry; `bearing` in radians from north)."""
    angle, start = distance_m / EARTH_RADIUS_M, math.radians(lat)
    sine = math.sin(start) * math.cos(angle) + math.cos(start) * math.sin(angle) * math.cos(bearing)
    turn = math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(start), math.cos(angle) - math.sin(start) * sine
    )
    return math.degrees(math.asin(sine)), (lon + math.degrees(turn) + 540) % 360 - 180
