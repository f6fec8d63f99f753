"""What a worker does with one task: compare itself with the build, run the step, name itself in errors."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from distributed import get_worker

from ...domain.errors import AerotileError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@attrs.frozen
class Failure:
    """Why a task ended without a result: as text, because not every error survives a pickle."""

    message: str
    remedy: str | None


@attrs.frozen
class Call:
    """A step of a build, and the environment that it wants."""

    step: Callable[[Any], Any]
    environment: Callable[[], Mapping[str, str]]
    """Says what the process that calls it has."""
    wanted: Mapping[str, str]

    def __call__(self, task: Any) -> Any:
        """The step's result, or a `Failure`."""
        worker = f"worker {get_worker().address}"
        try:
            found = self.environment()
            other = [
                f"{name} {found[name]}, not {self.wanted[name]}"
                for name in self.wanted
                if found[name] != self.wanted[name]
            ]
            if other:
                return Failure(
                    f"{worker} differs from this machine and would make other bytes: {'; '.join(other)}",
                    "install the same versions on all machines, or leave that worker out",
                )
            return self.step(task)
        except AerotileError as error:
            return Failure(f"{worker}: {error}", error.remedy)
        except OSError as error:
            what = "has no room left" if error.errno in _NO_ROOM else "failed"
            return Failure(
                f"{worker} {what}: {error.filename or 'a file'}: {error.strerror or error}",
                "make room or mend the disk, then build again: what is finished stays",
            )
