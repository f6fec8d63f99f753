"""A process that does to files what the product does, whenever it is told to; tests spoil its system calls.

Usage: disk_worker.py SOCKET GROUP FOLDER [ARGUMENT...]. GROUP names the module `disk_worker_GROUP` beside
this one, whose `operations(folder, *arguments)` returns operations by name. On the socket it reads lines
`STEP OPERATION`, where STEP is one of an operation's methods, and answers each with a line of JSON.
"""

from __future__ import annotations

import gc
import importlib
import json
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


class Operation:
    """Something that is done again and again. `prepare` and `undo` are never disturbed."""

    def prepare(self) -> None:
        """Bring about what it begins with."""

    def do(self) -> str | None:
        """The thing itself."""
        raise NotImplementedError

    def check(self) -> None:
        """Assert that it was done."""

    def undo(self) -> None:
        """Take it back."""


class _Nothing(Operation):
    def do(self) -> None:
        """Nothing."""


def attempt(step: Callable[[], str | None]) -> dict[str, Any]:
    error: Exception | None = None
    told = None
    try:
        told = step()
    except Exception as caught:  # noqa: BLE001 - whatever it is, the test is told
        error = caught
    cause: BaseException | None = None if error is None else error.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    answer = {
        "error": [] if error is None else [kind.__name__ for kind in type(error).__mro__],
        "message": str(error),
        "remedy": getattr(error, "remedy", None),
        "cause": [] if cause is None else [kind.__name__ for kind in type(cause).__mro__],
        "errno": getattr(cause or error, "errno", None),
        "told": told or "",
    }
    del error, cause  # what a traceback holds on to, such as a descriptor, goes now
    return answer | {"descriptors": opened() if step.__name__ == "check" else []}


def opened() -> list[str]:
    """What this process has open below FOLDER, the flight record excepted, whose writer comes and goes."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # of the folder that is being listed
            links.append(str(entry.readlink()))
    return sorted(link for link in links if link.startswith(sys.argv[3]) and "/record/" not in link)


def main() -> None:
    gc.disable()  # what a cycle keeps open is a leak for as long as nobody collects it
    sys.path.append(str(Path(__file__).parents[1]))  # what tests share
    told = socket.socket(fileno=int(sys.argv[1]))
    operations = importlib.import_module(f"disk_worker_{sys.argv[2]}").operations(
        Path(sys.argv[3]), *sys.argv[4:]
    )
    operations["nothing"] = _Nothing()
    for line in told.makefile("r"):
        step, _, name = line.strip().partition(" ")
        told.sendall(json.dumps(attempt(getattr(operations[name], step))).encode() + b"\n")


if __name__ == "__main__":
    main()
