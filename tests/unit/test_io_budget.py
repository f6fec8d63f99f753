"""The ceiling on how fast a background job reads."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from aerotile.adapters.memory.clock import ManualClock
from aerotile.domain.store.io_budget import IoBudget

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def test_a_reader_is_held_to_its_rate() -> None:
    clock = ManualClock(NOON)
    budget = IoBudget(1_000, clock)
    for _ in range(20):
        budget.spend(500)
    assert clock.monotonic() == pytest.approx(10 - 1, abs=1.01)


def test_a_slow_reader_never_waits() -> None:
    clock = ManualClock(NOON)
    budget = IoBudget(1_000, clock)
    for _ in range(20):
        clock.advance(timedelta(seconds=1))
        before = clock.monotonic()
        budget.spend(900)
        assert clock.monotonic() == before


def test_a_pause_saves_up_no_more_than_a_second() -> None:
    clock = ManualClock(NOON)
    budget = IoBudget(1_000, clock)
    clock.advance(timedelta(hours=1))
    before = clock.monotonic()
    for _ in range(10):
        budget.spend(1_000)
    assert clock.monotonic() - before == pytest.approx(9)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="bytes_per_second"):
        IoBudget(rate, ManualClock(NOON))
