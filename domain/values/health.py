"""The health of a process, and the states in which it goes on although something is wrong."""

from __future__ import annotations

from enum import Enum

import attrs


class DegradedState(str, Enum):
    """What is wrong while reads go on."""

    DATABASE_GONE = "database_gone"
    """The database does not answer: nothing is written, and commits of others are not seen."""
    CLOCK_UNTRUSTED = "clock_untrusted"
    """The clock can't be right: ages are lower bounds."""
    BASE_UNSIGNED = "base_unsigned"
    """The sealed base is in use without the signatures that it needs."""
    DISK_SLOW = "disk_slow"
    """Reads passed their deadline within the last minute, or wait for the disk now."""
    RECORD_DROPPING = "record_dropping"
    """Events were lost within the last minute, or wait because the record's disk fails."""
    INDEX_FOREIGN = "index_foreign"
    """Within the last minute the store held none of the candidates of a lookup."""
    RECALL_REFUSED = "recall_refused"
    """The recall list in force is missing, older or not trusted; the one before stays in force."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    """The last write that asked for room was refused."""


@attrs.frozen
class Degradation:
    """One state that is degraded now."""

    state: DegradedState
    """Which one."""
    what: str
    """One clause for a person."""


@attrs.frozen
class Health:
    """The health of one process, as of one moment."""

    degradations: tuple[Degradation, ...]
    """One for each state that is degraded."""
    beats: int
    """How often the flight loop said that it goes on."""
    seconds_since_beat: float | None
    """Seconds since it said so last; None: never."""

    @property
    def states(self) -> frozenset[DegradedState]:
        """The states that are degraded; none: all is well."""
        return frozenset(each.state for each in self.degradations)
