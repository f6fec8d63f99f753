"""The demo's mission: an area, a route over it, fictional sectors, and the frames taken along it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.values.sectors import SectorBoundary, SectorClassification
from ...domain.values.tile_grid import Bbox
from .camera import FramePlan

Position = tuple[float, float]
"""Latitude and longitude in degrees."""

MAX_HEADING_ERROR = 5.0
"""Degrees, either way."""
MAX_LIGHT_CHANGE = 0.2
"""Share by which brightness and contrast differ from 1, either way."""


@attrs.frozen(kw_only=True)
class Mission:
    """An area with its base, a route and sectors."""

    name: str
    area: Bbox
    search_zoom: int
    """The zoom whose tiles are described and searched; a frame covers one tile of it."""
    overview_zooms: tuple[int, ...]
    """Coarser zooms that the base holds too."""
    waypoints: tuple[Position, ...]
    corridor_km: int
    """How far to each side of the route tiles must be there."""
    hole: Bbox
    """Ground on the route that the first order of imagery lacks, on purpose."""
    sectors: tuple[SectorBoundary, ...]


CAPE_TO_BEIJING = Mission(
    name="Cape Town to Beijing",
    area=Bbox(-35.0, -18.0, 66.0, 150.0),
    search_zoom=6,
    overview_zooms=(4, 5),
    waypoints=(
        (-33.6, 19.2),  # Cape Town
        (-17.9, 25.9),  # Victoria Falls
        (-1.3, 36.8),  # Nairobi
        (15.6, 32.5),  # Khartoum
        (29.9, 31.4),  # Cairo
        (33.3, 44.4),  # Baghdad
        (35.6, 51.6),  # Tehran
        (39.6, 66.9),  # Samarkand
        (43.8, 87.6),  # Urumqi
        (36.1, 103.8),  # Lanzhou
        (40.0, 116.4),  # Beijing
    ),
    corridor_km=300,
    hole=Bbox(36.5, 61.8, 45.2, 73.2),  # four tiles of zoom 6 around Samarkand
    # Invented: they mark no real conflict.
    sectors=(
        SectorBoundary("front-west", SectorClassification.ACTIVE_CONFLICT, Bbox(17.0, 20.0, 27.0, 37.0)),
        SectorBoundary("front-east", SectorClassification.ACTIVE_CONFLICT, Bbox(37.0, 70.0, 47.0, 84.0)),
        SectorBoundary("rear-south", SectorClassification.STABLE_REAR, Bbox(-30.0, 14.0, 2.0, 42.0)),
        SectorBoundary("rear-east", SectorClassification.STABLE_REAR, Bbox(29.0, 94.0, 45.0, 121.0)),
    ),
)


def plan_frames(mission: Mission, count: int, *, seed: int) -> list[FramePlan]:
    """`count` frames evenly along the route, each spoiled at random; the same seed gives the same frames."""
    rng = np.random.default_rng(seed)
    darkest, brightest = 1 - MAX_LIGHT_CHANGE, 1 + MAX_LIGHT_CHANGE
    return [
        FramePlan(
            number=number,
            lat=lat,
            lon=lon,
            heading_error=float(rng.uniform(-MAX_HEADING_ERROR, MAX_HEADING_ERROR)),
            brightness=float(rng.uniform(darkest, brightest)),
            contrast=float(rng.uniform(darkest, brightest)),
            noise_seed=int(rng.integers(1 << 32)),
        )
        for number, (lat, lon) in enumerate(along(mission.waypoints, count))
    ]


def along(waypoints: Sequence[Position], count: int) -> list[Position]:
    """`count` positions at equal distances along the great circles between the waypoints, ends included.

    Raises `ValueError` for fewer than two waypoints or positions, and for a waypoint given twice in a row.
    Spherical linear interpolation of unit vectors (Shoemake, 1985).
    """
    if len(waypoints) < 2 or count < 2:
        raise ValueError(f"a route needs 2 waypoints and 2 positions, got {len(waypoints)} and {count}")
    corners = [_unit_vector(position) for position in waypoints]
    angles = [math.acos(float(np.clip(start @ end, -1.0, 1.0))) for start, end in pairwise(corners)]
    if min(angles) == 0.0:
        raise ValueError("a route needs different waypoints, got the same position twice in a row")
    flown = np.concatenate([[0.0], np.cumsum(angles)])
    positions = []
    for distance in np.linspace(0.0, flown[-1], count):
        leg = min(int(np.searchsorted(flown, distance, side="right")) - 1, len(angles) - 1)
        share, angle = (distance - flown[leg]) / angles[leg], angles[leg]
        vector = math.sin((1 - share) * angle) * corners[leg] + math.sin(share * angle) * corners[leg + 1]
        positions.append(_position(vector))
    return positions


def _unit_vector(position: Position) -> npt.NDArray[np.float64]:
    lat, lon = math.radians(position[0]), math.radians(position[1])
    return np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])


def _position(vector: npt.NDArray[np.float64]) -> Position:
    x, y, z = (float(part) for part in vector)
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))
