"""Routes: where an aircraft goes, leg by leg, and when it is where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import attrs
import numpy as np

from .corridors import check_lines, line_lengths_m
from .tile_grid import Point, taken_points
from .validators import as_real, check_number

MOST_LEGS = 200
"""A route with more (a recorded track) is told in this many legs of about the same length."""
LONGEST_ROUTE_M = 50_000_000.0
"""More than once around the world; it bounds the memory that a corridor takes."""
SLOWEST_M_S, FASTEST_M_S = 0.1, 1000.0


def _points(points: Iterable[Point]) -> tuple[Point, ...]:
    checked = taken_points(points, "points")
    if len(checked) < 2:
        raise ValueError(f"a route has two points or more, got {len(checked)}")
    return checked


@attrs.frozen
class Leg:
    """A part of a route, which is told as one: as a rule from one point to the next."""

    number: int
    """From 1."""
    first_point: int
    """The number of the point at which it begins, from 1."""
    points: tuple[Point, ...]
    """Two points or more; longitudes and latitudes in degrees."""
    begins: timedelta
    """When the aircraft is at its first point, from the take-off."""
    ends: timedelta
    """When it is at its last point."""

    @property
    def last_point(self) -> int:
        """The number of the point at which it ends."""
        return self.first_point + len(self.points) - 1


@attrs.frozen
class Route:
    """A line that an aircraft follows along great circles.

    Raises `ValueError` for fewer than two points, for points that are no places or more than 10,000 km apart,
    for more than 50,000 km in all, for times that are not one for each point or go back, and for a speed
    outside 0.1..1000 m/s.
    """

    points: tuple[Point, ...] = attrs.field(converter=_points)
    """Longitudes and latitudes in degrees, from the take-off on."""
    times: tuple[datetime, ...] = ()
    """When the aircraft is at each point; none where that is not known."""
    name: str = ""
    """As a person calls it."""
    speed_m_s: float | None = attrs.field(default=None, converter=as_real)
    """Over ground, in metres a second, where the route says it."""

    def __attrs_post_init__(self) -> None:
        if self.times and len(self.times) != len(self.points):
            raise ValueError(f"{len(self.points)} points have {len(self.times)} times")
        if any(first > second for first, second in pairwise(self.times)):
            raise ValueError("the times of a route go back")
        if self.speed_m_s is not None:
            check_number("speed_m_s", self.speed_m_s, SLOWEST_M_S, FASTEST_M_S)
        lengths = line_lengths_m(self.points)
        check_lines(lengths)
        if lengths.sum() > LONGEST_ROUTE_M:
            raise ValueError(
                f"a route of {lengths.sum() / 1000:.0f} km is longer than {LONGEST_ROUTE_M / 1000:.0f} km"
            )

    @property
    def length_m(self) -> float:
        """Its length in metres: never too short, at most 1.1 % too long."""
        return float(line_lengths_m(self.points).sum())

    def legs(self, speed_m_s: float) -> tuple[Leg, ...]:
        """Its legs, at most `MOST_LEGS`, with the times of the route; where it has none, at this speed."""
        lengths = line_lengths_m(self.points)
        if self.times:
            at_point = [time - self.times[0] for time in self.times]
        else:
            at_point = [timedelta(seconds=float(way) / speed_m_s) for way in (0.0, *np.cumsum(lengths))]
        ends = _ends(lengths)
        return tuple(
            Leg(number, first + 1, self.points[first : last + 1], at_point[first], at_point[last])
            for number, (first, last) in enumerate(pairwise((0, *ends)), 1)
        )

    @classmethod
    def joined(cls, routes: Sequence[Route]) -> Route:
        """The routes flown one after the other, and what lies between them.

        The times count where every route has them and none goes back; of several speeds the slowest counts.
        """
        if len(routes) == 1:
            return routes[0]
        times = tuple(time for route in routes for time in route.times)
        known = all(route.times for route in routes) and all(a <= b for a, b in pairwise(times))
        speeds = [route.speed_m_s for route in routes if route.speed_m_s is not None]
        return cls(
            [point for route in routes for point in route.points],
            times if known else (),
            routes[0].name,
            min(speeds, default=None),
        )


def _ends(lengths: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[int]:
    """The positions of the points at which legs end: all, or at most `MOST_LEGS` along the way."""
    points = len(lengths)
    if points <= MOST_LEGS:
        return list(range(1, points + 1))
    way = np.cumsum(lengths)
    marks = way[-1] * np.arange(1, MOST_LEGS + 1) / MOST_LEGS
    ends = np.minimum(np.searchsorted(way, marks) + 1, points)
    return sorted({*ends.tolist(), points})
