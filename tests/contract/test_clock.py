"""The contract of `Clock`, over every implementation."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.memory.clock import ManualClock
from aerotile.domain.ports.clock import Clock

START = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture(params=["system", "manual"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return SystemClock() if request.param == "system" else ManualClock(START)


def test_it_is_a_clock(clock: Clock) -> None:
    assert isinstance(clock, Clock)


def test_wall_time_is_aware_and_in_utc(clock: Clock) -> None:
    assert clock.now().utcoffset() == timedelta(0)


def test_sleep_lets_at_least_that_much_monotonic_time_pass(clock: Clock) -> None:
    before = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.01


def test_a_negative_sleep_is_refused(clock: Clock) -> None:
    with pytest.raises(ValueError, match=r"negative|go back"):
        clock.sleep(-1)


def test_a_manual_clock_stands_still_until_it_is_advanced() -> None:
    clock = ManualClock(START)
    assert clock.now() == START
    clock.advance(timedelta(hours=1))
    assert (clock.now(), clock.monotonic()) == (START + timedelta(hours=1), 3600.0)


def test_setting_a_manual_clock_moves_wall_time_alone() -> None:
    clock = ManualClock(START)
    clock.set(START - timedelta(days=1))
    assert (clock.now(), clock.monotonic()) == (START - timedelta(days=1), 0.0)


def test_a_manual_clock_refuses_a_naive_start() -> None:
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2026, 5, 1))  # noqa: DTZ001 - the naive time is what is refused
