"""The process of a server that runs, as it introduced itself in the server lock."""

from __future__ import annotations

import json

import attrs

from .launcher import boot_id, start_ticks


@attrs.frozen
class RunningServer:
    """The process that holds the server lock."""

    boot_id: str
    pid: int
    start_ticks: int

    @classmethod
    def parse(cls, content: bytes) -> RunningServer | None:
        """Read what `launcher` wrote into the lock; None while it is empty or damaged."""
        try:
            facts = json.loads(content)
            return cls(str(facts["boot_id"]), int(facts["pid"]), int(facts["start_ticks"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    @property
    def is_on_this_machine(self) -> bool:
        """False when another machine uses the same folder over a network file system. Raises `OSError`."""
        return self.boot_id == boot_id()

    @property
    def is_visible(self) -> bool:
        """Whether `pid` means that process here: same boot, same start time. Raises `OSError`."""
        try:
            started = start_ticks(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return self.is_on_this_machine and started == self.start_ticks
