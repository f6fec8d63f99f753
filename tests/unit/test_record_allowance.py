"""The bytes an hour that lookups may take on the flight record."""

from __future__ import annotations

from itertools import pairwise

from aerotile.domain.policies.record_allowance import HourlyAllowance

HOUR_S = 3600.0
LINE = 10_000


def flown(bytes_per_hour: int, *, hours: float, lookups_per_s: float) -> list[float]:
    """The times in seconds of the lookups that were recorded."""
    allowance, taken = HourlyAllowance.full(bytes_per_hour, 0.0), []
    for number in range(int(hours * HOUR_S * lookups_per_s)):
        now_s = number / lookups_per_s
        after = allowance.spend(LINE, now_s)
        if after is not None:
            allowance = after
            taken.append(now_s)
    return taken


def test_a_flight_within_the_allowance_loses_nothing() -> None:
    assert len(flown(10_000_000, hours=3, lookups_per_s=0.25)) == 3 * 900


def test_no_hour_takes_more_than_the_allowance_and_a_line() -> None:
    taken = flown(10_000_000, hours=3, lookups_per_s=2.0)
    for start in range(0, int(2 * HOUR_S), 60):
        within = [at for at in taken if start <= at < start + HOUR_S]
        assert len(within) * LINE <= 10_000_000 + LINE


def test_what_is_left_out_is_spread_over_the_hour() -> None:
    second_hour = [at for at in flown(10_000_000, hours=2, lookups_per_s=2.0) if at >= HOUR_S]
    assert max(after - before for before, after in pairwise(second_hour)) <= 5
    assert len(second_hour) * LINE >= 8_900_000


def test_a_line_larger_than_the_burst_is_taken_once_in_a_while() -> None:
    allowance = HourlyAllowance.full(1_000, 0.0)
    after = allowance.spend(900, 0.0)
    assert after is not None
    assert after.spend(1, 3_000.0) is None
    assert after.spend(1, HOUR_S) is not None
