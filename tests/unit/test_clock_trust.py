"""Whether a clock can be right, and the clock that goes on without it when it can't."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.domain.policies.clock_trust import (
    EARLIEST,
    LATEST,
    TOLERANCE,
    ClockFaultReason,
    find_clock_fault,
)
from aerotile.domain.store.clock_guard import ClockGuard, latest_known
from aerotile.domain.values.timestamps import MICROSECOND, microseconds_of

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
BOOT = datetime(1970, 1, 1, tzinfo=timezone.utc)


@attrs.define
class Catalogue:
    """What is known of tiles."""

    latest_capture: datetime = BOOT
    latest_access: datetime = BOOT

    def latest_capture_us(self) -> int:
        return microseconds_of(self.latest_capture)

    def latest_access_us(self) -> int:
        return microseconds_of(self.latest_access)


class Watch:
    """A clock that is watched, with everything around it."""

    def __init__(self, start: datetime = NOON, latest_access: datetime = BOOT) -> None:
        self.clock = ManualClock(start)
        self.catalogue = Catalogue(latest_access=latest_access)
        self.recorder = MemoryFlightRecorder()
        self.watched = ClockGuard(self.clock, self.catalogue, self.recorder)

    def jump(self, by: timedelta) -> None:
        self.clock.set(self.clock.now() + by)

    def reasons(self) -> list[str]:
        return [f"{event.kind.value} {event.reason}" for event in self.recorder.events]


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (BOOT, ClockFaultReason.BEFORE_AEROTILE),
        (EARLIEST - MICROSECOND, ClockFaultReason.BEFORE_AEROTILE),
        (EARLIEST, None),
        (LATEST, None),
        (LATEST + MICROSECOND, ClockFaultReason.BEYOND_AEROTILE),
        (datetime(2106, 2, 7, 6, 28, 16, tzinfo=timezone.utc), ClockFaultReason.BEYOND_AEROTILE),
    ],
)
def test_a_time_outside_of_the_life_of_this_version_is_not_believed(
    says: datetime, reason: ClockFaultReason | None
) -> None:
    doubt = find_clock_fault(says)
    assert (doubt.reason if doubt else None) is reason


def test_a_clock_behind_what_is_known_is_not_believed_beyond_the_tolerance() -> None:
    assert find_clock_fault(NOON - TOLERANCE, known=NOON) is None
    doubt = find_clock_fault(NOON - TOLERANCE - MICROSECOND, known=NOON)
    assert doubt is not None
    assert doubt.reason is ClockFaultReason.BEHIND
    said = "the clock says 2026-05-01T11:54:59+00:00, but it was 2026-05-01T12:00:00+00:00 already"
    assert str(doubt) == said


def test_a_clock_ahead_of_the_seconds_that_passed_is_not_believed() -> None:
    assert find_clock_fault(NOON + TOLERANCE, passed=NOON) is None
    doubt = find_clock_fault(NOON + 3 * HOUR, passed=NOON)
    assert doubt is not None
    assert doubt.reason is ClockFaultReason.AHEAD


def test_what_is_known_leaves_room_for_a_capture_time_ahead_and_ignores_the_impossible() -> None:
    noon_us, century_us = microseconds_of(NOON), microseconds_of(datetime(2126, 1, 1, tzinfo=timezone.utc))
    assert latest_known(noon_us, 0) == NOON - TOLERANCE
    assert latest_known(noon_us, noon_us) == NOON
    assert latest_known(noon_us, century_us) == NOON - TOLERANCE
    assert latest_known(0, 0) == EARLIEST


def test_a_clock_that_nothing_speaks_against_is_followed_exactly() -> None:
    watch = Watch(latest_access=NOON - HOUR)
    for _ in range(10):
        watch.clock.advance(timedelta(minutes=7))
        assert watch.watched.now() == watch.clock.now()
    watch.jump(timedelta(minutes=-2))  # a correction among honest clocks
    assert watch.watched.now() == watch.clock.now()
    assert watch.watched.doubt is None
    assert watch.reasons() == []


@pytest.mark.parametrize("hours", [-30, -6, -1, 1, 6, 30])
def test_a_jump_is_not_followed_and_is_recorded_once_at_each_end(hours: int) -> None:
    watch = Watch()
    assert watch.watched.now() == NOON
    watch.jump(hours * HOUR)
    for _ in range(3):
        watch.clock.advance(timedelta(minutes=10))
        right = watch.clock.now() - hours * HOUR
        assert watch.watched.now() == right
    assert watch.watched.doubt is not None
    watch.jump(-hours * HOUR)
    assert watch.watched.now() == right
    assert watch.watched.doubt is None
    reason = "ahead" if hours > 0 else "behind"
    assert watch.reasons() == [f"c6.clock_untrusted {reason}", "c6.clock_trusted plausible_again"]


def test_a_boot_without_a_battery_goes_on_from_the_latest_known_time_until_the_clock_is_set() -> None:
    watch = Watch(start=BOOT, latest_access=NOON)
    assert watch.watched.look() == NOON
    watch.clock.advance(HOUR)
    assert watch.watched.now() == NOON + HOUR
    assert watch.watched.doubt is not None
    watch.clock.set(NOON + 240 * HOUR)  # a fix at last
    assert watch.watched.now() == NOON + 240 * HOUR
    assert watch.watched.doubt is None
    assert watch.reasons() == ["c6.clock_untrusted before_aerotile", "c6.clock_trusted plausible_again"]


def test_what_another_process_stored_later_counts_at_once() -> None:
    watch = Watch(start=BOOT, latest_access=NOON)
    watch.watched.look()
    watch.catalogue.latest_access = NOON + 2 * HOUR
    assert watch.watched.now() == NOON + 2 * HOUR


durations = st.timedeltas(timedelta(0), timedelta(days=2))
moves = st.tuples(st.sampled_from(["pass", "jump"]), durations, st.booleans())


@given(moves=st.lists(moves, max_size=30))
def test_stamps_never_go_back_whatever_the_clock_does(moves: list[tuple[str, timedelta, bool]]) -> None:
    watch = Watch()
    former = watch.watched.stamp()
    for kind, duration, forward in moves:
        if kind == "pass":
            watch.clock.advance(duration)
        else:
            watch.jump(duration if forward else -duration)
        watch.catalogue.latest_access = former
        first = watch.watched.stamp(5)
        assert first > former
        former = first + 4 * MICROSECOND
