"""The contract of `Clock`, held by the system's clock and the manual one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from aerotile.adapters.clocks import SystemClock
from aerotile.domain.ports.clock import Clock
from aerotile.testing import ClockContract, ManualClock

START = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)


class TestClock(ClockContract):
    @pytest.fixture(params=["system", "manual"])
    def clock(self, request: pytest.FixtureRequest) -> Clock:
        return SystemClock() if request.param == "system" else ManualClock(START)


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
