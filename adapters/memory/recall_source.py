"""A recall list in force that a test sets."""

from __future__ import annotations

from collections.abc import Hashable

from ...domain.ports.recall_source import RecallInForce
from ...domain.values.recall_list import RecallList


class MemoryRecallSource:
    """A `RecallSource` in memory."""

    def __init__(self, recalls: RecallList | None = None) -> None:
        self._in_force: RecallInForce | None = None
        self._changes = 0
        if recalls is not None:
            self.put(recalls)

    def put(self, recalls: RecallList) -> None:
        """Put a list in force, as another process would."""
        self._in_force = RecallInForce(recalls, f"{recalls.number:064x}")
        self._changes += 1

    def mark(self) -> Hashable:
        return self._changes

    def read(self) -> RecallInForce | None:
        return self._in_force
