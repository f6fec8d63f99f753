"""Which states of a runtime are degraded, by what its opened parts know already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...domain.ports.clock import Clock
from ...domain.values.counted import counted
from ...domain.values.health import Degradation, DegradedState

RECENT_S = 60.0
"""How long a state is degraded after something that has no end of its own, such as a lost event."""


class RecentCounts:
    """Which counts have grown within the last `RECENT_S` seconds, as of the looks at them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._grown: dict[str, tuple[int, float]] = {}

    def has_grown(self, name: str, count: int) -> bool:
        """Whether the count, 0 at first, was seen to grow within the last `RECENT_S` seconds."""
        now = self._clock.monotonic()
        known, grown_at = self._grown.get(name, (0, -RECENT_S))
        if count > known:
            known, grown_at = count, now
            self._grown[name] = known, grown_at
        return now - grown_at < RECENT_S


def degraded_states(opened: Mapping[str, Any], recent: RecentCounts) -> Iterator[Degradation]:
    """The states that are degraded now, by the parts of a runtime that are open, under their names."""
    for state, look in _LOOKS:
        what = look(opened, recent)
        if what is not None:
            yield Degradation(state, what)


def _database(opened: Mapping[str, Any], _: RecentCounts) -> str | None:
    feed, database = opened.get("tile_feed"), opened.get("database")
    failure: str | None = None if database is None else database.failure
    if feed is not None and not feed.is_following:
        return f"the connection to the database is lost: {failure or 'it is being made again'}"
    return None if failure is None else f"the database does not answer: {failure}"


def _clock(opened: Mapping[str, Any], _: RecentCounts) -> str | None:
    for name in ("clock_guard", "base_clock_guard"):
        guard = opened.get(name)
        if guard is not None:
            guard.now()
            if guard.doubt is not None:
                return str(guard.doubt)
    return None


def _base(opened: Mapping[str, Any], _: RecentCounts) -> str | None:
    base = opened.get("mapped_base")
    if base is None or base.signed.is_trusted:
        return None
    return f"generation {base.signed.manifest.name} lacks the signatures that it needs"


def _disk(opened: Mapping[str, Any], recent: RecentCounts) -> str | None:
    files = opened.get("files")
    if files is None:
        return None
    late = files.readers.late_reads
    if files.readers.hanging_threads:
        return f"{files.readers.hanging_threads} threads wait for the disk; {late} reads were given up"
    if recent.has_grown("late_reads", late):
        return f"{late} reads passed reads.deadline_s, the last within a minute"
    return None


def _record(opened: Mapping[str, Any], recent: RecentCounts) -> str | None:
    recorder = opened.get("recorder")
    if recorder is None:
        return None
    status = recorder.status()
    grown = recent.has_grown("dropped", status.dropped)
    if status.failing:
        return (
            f"the record can't be written: {status.last_error}; "
            f"{counted(status.dropped, 'event was', 'events were')} lost"
        )
    return (
        f"{counted(status.dropped, 'event was', 'events were')} lost, the last within a minute"
        if grown
        else None
    )


def _index(opened: Mapping[str, Any], recent: RecentCounts) -> str | None:
    store = opened.get("tile_store")
    if store is None or not recent.has_grown("unknown_lookups", store.unknown_lookups):
        return None
    return (
        f"the store held no candidate of {counted(store.unknown_lookups, 'lookup')}, the last within a minute"
    )


def _recalls(opened: Mapping[str, Any], _: RecentCounts) -> str | None:
    guard = opened.get("recalls")
    return None if guard is None or guard.refused is None else f"a recall list is refused: {guard.refused}"


def _budget(opened: Mapping[str, Any], _: RecentCounts) -> str | None:
    enforcer = opened.get("budget_enforcer")
    refusal: str | None = None if enforcer is None else enforcer.refusal
    return refusal


_LOOKS = (
    (DegradedState.DATABASE_GONE, _database),
    (DegradedState.CLOCK_UNTRUSTED, _clock),
    (DegradedState.BASE_UNSIGNED, _base),
    (DegradedState.DISK_SLOW, _disk),
    (DegradedState.RECORD_DROPPING, _record),
    (DegradedState.INDEX_FOREIGN, _index),
    (DegradedState.RECALL_REFUSED, _recalls),
    (DegradedState.BUDGET_EXHAUSTED, _budget),
)
