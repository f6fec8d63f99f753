"""In which states a process of Aerotile goes on although something is wrong."""

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


@attrs.frozen
class Degradation:
    """One state that is degraded now."""

    state: DegradedState
    what: str
    """One clause for a person."""
