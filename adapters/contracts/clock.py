"""The contract of `Clock`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ...domain.ports.clock import Clock


class ClockContract:
    """Holds a clock that may or may not run with the machine's time."""

    @pytest.fixture
    def clock(self) -> Clock:
        """The clock under test. Override it."""
        raise NotImplementedError

    def test_it_is_a_clock(self, clock: Clock) -> None:
        assert isinstance(clock, Clock)

    def test_wall_time_is_aware_and_in_utc(self, clock: Clock) -> None:
        assert clock.now().utcoffset() == timedelta(0)

    def test_sleep_lets_at_least_that_much_monotonic_time_pass(self, clock: Clock) -> None:
        before = clock.monotonic()
        clock.sleep(0.01)
        assert clock.monotonic() - before >= 0.01

    def test_a_negative_sleep_is_refused(self, clock: Clock) -> None:
        with pytest.raises(ValueError, match=r"negative|go back"):
            clock.sleep(-1)
