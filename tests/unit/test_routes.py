"""Routes: their legs, and when the aircraft is over each."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from aerotile.domain.values.routes import MOST_LEGS, Route

START = datetime(2026, 6, 1, 8, tzinfo=timezone.utc)


def test_a_leg_leads_from_each_point_to_the_next_at_the_speed_that_is_given() -> None:
    first, second = Route([(11, 48), (11, 49), (11, 51)]).legs(100.0)
    assert (first.number, first.first_point, first.last_point) == (1, 1, 2)
    assert (second.number, second.first_point, second.last_point) == (2, 2, 3)
    assert first.begins == timedelta(0)
    assert first.ends == second.begins
    # A degree of a meridian is 111.2 km there.
    assert 1112 < first.ends.total_seconds() < 1125
    assert 3336 < second.ends.total_seconds() < 3375


def test_times_of_the_route_count_before_a_speed() -> None:
    times = tuple(START + timedelta(hours=hour) for hour in (0, 2, 7))
    first, second = Route([(11, 48), (11, 49), (11, 51)], times).legs(100.0)
    assert (first.begins, first.ends, second.ends) == (timedelta(0), timedelta(hours=2), timedelta(hours=7))


def test_a_track_of_many_points_is_told_in_some_legs_that_lose_no_point() -> None:
    points = [(11 + i / 10_000, 48.0) for i in range(5_001)]
    legs = Route(points).legs(20.0)
    assert len(legs) <= MOST_LEGS
    assert legs[0].points[0] == points[0]
    assert [point for leg in legs for point in leg.points[1:]] == points[1:]
    assert all(one.points[-1] == two.points[0] for one, two in pairwise(legs))


def test_joined_routes_hold_the_way_between_them_and_fly_at_the_slower_speed() -> None:
    joined = Route.joined([Route([(0, 0), (1, 0)], speed_m_s=30), Route([(2, 0), (3, 0)], speed_m_s=20)])
    assert joined.points == ((0, 0), (1, 0), (2, 0), (3, 0))
    assert joined.speed_m_s == 20
    assert joined.times == ()


def test_times_of_joined_routes_count_where_they_are_in_order() -> None:
    early, late = (
        (START, START + timedelta(hours=1)),
        (START + timedelta(hours=2), START + timedelta(hours=3)),
    )
    in_order = [Route([(0, 0), (1, 0)], early), Route([(2, 0), (3, 0)], late)]
    assert Route.joined(in_order).times == early + late
    assert Route.joined(in_order[::-1]).times == ()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"points": [(0, 0)]}, "two points or more"),
        ({"points": [(0, 0), (0, 95)]}, "lat must be"),
        ({"points": [(0, 0), (1, 1)], "times": (START,)}, "2 points have 1 times"),
        ({"points": [(0, 0), (1, 1)], "times": (START, START - timedelta(1))}, "go back"),
        ({"points": [(0, 0), (1, 1)], "speed_m_s": 0.0}, "speed_m_s must be"),
        ({"points": [(0, 0), (150, 0)]}, "put a point between them"),
        ({"points": [(0, 0), (80, 0)] * 4}, "longer than 50000 km"),
    ],
)
def test_an_impossible_route_is_refused(facts: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Route(**facts)  # type: ignore[arg-type]  # wrong on purpose
