"""What the demo's aircraft believes of its place: well known at first, then drifting, then lost."""

from __future__ import annotations

import math
from collections import Counter

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
_KNOWN, _DRIFTING = 1 / 3, 2 / 3
"""Shares of the flight at which the aircraft begins to drift, and at which it is lost."""


@attrs.define(kw_only=True)
class PriorLog:
    """Frames over land that had a prior: their searches within it, beside the search of the whole index."""

    frames: int = 0
    within: Counter[FrameOutcome] = attrs.field(factory=Counter)
    whole: Counter[FrameOutcome] = attrs.field(factory=Counter)
    search: Samples = attrs.field(factory=Samples)
    """Of every frame with a prior, over the sea too."""


def prior_of(plan: FramePlan, share: float, zoom: int) -> Area | None:
    """An area that holds the frame's place, its centre wrong by up to its radius; None for a lost aircraft.

    `share` is the part of the flight that is over, from 0 to 1.
    """
    if share >= _DRIFTING:
        return None
    drift = max(0.0, share - _KNOWN) / (_DRIFTING - _KNOWN)
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
