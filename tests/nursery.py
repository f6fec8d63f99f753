"""Processes that are killed before a chosen system call, one after another, at a few milliseconds each."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

PROGRAM = Path(__file__).parent / "faults" / "nursery_process.py"
_ORDERED = os.environ.get("TEST_KILLS", "10")
EVERY_CALL = _ORDERED == "all"
MOST_KILLS = 1 << 30 if EVERY_CALL else int(_ORDERED)
"""How often a long operation is killed: `TEST_KILLS`, a number, or `all` for a kill before every call."""


class DiedUnbiddenError(Exception):
    """A child ended before it was told to; what it complained about."""


@attrs.frozen
class Ending:
    """How a life ended."""

    reached: str | None
    """The call before which it was killed or held; None when it came to its own end first."""
    calls: tuple[str, ...]
    """What it called since it was ready."""
    done: bool
    """Whether the store had confirmed the operation."""


class Nursery:
    """The process that forks the children; one child at a time."""

    def __init__(self, complaints: Path) -> None:
        """`complaints` is a file for what goes wrong in it."""
        self._complaints = complaints
        self._start()

    def _start(self) -> None:
        self._is_busy = False
        with self._complaints.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # a process with threads must not fork
            )
        self.refusal: str | None = self._hear()["refusal"]
        """Why no process can be killed at a system call here; None when it can."""

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it died before
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def begin(self, operation: str, number: int, **order: Any) -> dict[str, Any]:
        """Begin a life; the first that the child says."""
        if self._is_busy:  # a test has failed in the middle of a life
            self.close()
            self._start()
        self._is_busy = True
        return self._ask({"operation": operation, "number": number, **order})

    def prepare(self) -> dict[str, Any]:
        """Let a child that has opened what there is prepare itself; what it says with `ready`."""
        return self._ask({})

    def kill_at(self, number: int | None) -> Ending:
        """Let it run, and kill it before its call with that number; None: let it come to its end."""
        return self._ending(self._ask({"reach": number}), killed=number is not None)

    @contextmanager
    def held_at(self, number: int) -> Iterator[str | None]:
        """Hold it before that call, and let it go on to its end when the context is left.

        Yields the call's name, or None when it has come to its end already.
        """
        said = self._ask({"reach": number, "hold": True})
        if "held" not in said:
            self._ending(said, killed=False)
            yield None
            return
        try:
            yield said["held"]
        finally:
            self._ending(self._ask({}), killed=False)

    def _ending(self, said: Mapping[str, Any], *, killed: bool) -> Ending:
        self._is_busy = False
        killed = killed and said["reached"] is not None
        if said["status"] != (signal.SIGKILL if killed else 0):
            raise DiedUnbiddenError(f"{dict(said)} {self._complaints.read_text()}")
        return Ending(said["reached"], tuple(said["calls"]), {"done": True} in said["said"])

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        said: dict[str, Any] = json.loads(line) if line else {"died": "the nursery"}
        if "died" in said:
            raise DiedUnbiddenError(self._complaints.read_text())
        return said


def moments(calls: Sequence[str], chance: random.Random) -> list[int]:
    """Before which of these calls to kill: all, or a few that are spread over all kinds of calls."""
    numbered = list(enumerate(calls, start=1))
    if len(numbered) <= MOST_KILLS:
        return every_moment(calls)
    kinds: dict[str, list[int]] = {}
    for number, name in numbered:
        kinds.setdefault(name, []).append(number)
    for numbers in kinds.values():
        chance.shuffle(numbers)
    chosen: list[int] = []
    while len(chosen) < MOST_KILLS:
        for numbers in kinds.values():
            if numbers and len(chosen) < MOST_KILLS:
                chosen.append(numbers.pop())
    chance.shuffle(chosen)
    return chosen


def every_moment(calls: Sequence[str]) -> list[int]:
    """All of them, for what is short enough."""
    return list(range(1, len(calls) + 1))


def kill_at_every_moment(live: Callable[[int | None], Ending]) -> None:
    """Live three times to the end, once to each call of the longest life, and a last time to the end.

    Fails when no life was killed.
    """
    calls = max((live(None).calls for _ in range(3)), key=len)
    endings = [live(moment) for moment in every_moment(calls)]
    live(None)
    assert any(ending.reached is not None for ending in endings)
