"""The process of a server that runs, as it introduced itself in the server lock."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import attrs

from .launcher import boot_id, start_ticks

_AT_WORK = (b": walwriter", b": startup")
"""In what the processes call themselves: the one that serves, and the one that recovers."""


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

    @property
    def is_at_work(self) -> bool:
        """Whether the server has a process that serves or one that recovers.

        True where its processes can't be seen. Between two states it has neither for a moment.
        """
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return any(mark in _title(child) for child in children for mark in _AT_WORK)
        return True


def _title(pid: str) -> bytes:
    """What a process calls itself; nothing when it has ended. Raises `OSError` where it can't be seen."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
