"""The log of an embedded server, and what PostgreSQL's programs complain of."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .owned_files import open_owned

_LONGEST_LOG = 1 << 20  # bytes
# The answer to a client that connects too early is no failure.
_FAILURE = re.compile(r"(?:FATAL|PANIC|error|launcher): +(?!the database system is )(.*)")


class ServerLog:
    """The log at `path`; its older part is beside it under the name with `.1`. Methods raise `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> int:
        """A descriptor that appends to the log."""
        return open_owned(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def bound(self) -> None:
        """Move the end of a long log to the older part and empty the log, also under a running server."""
        try:
            log = os.fdopen(open_owned(self.path, os.O_RDWR), "rb+")
        except FileNotFoundError:
            return
        with log:
            if os.fstat(log.fileno()).st_size <= _LONGEST_LOG:
                return
            older = self.path.with_name(f"{self.path.name}.1")
            older.unlink(missing_ok=True)
            with os.fdopen(open_owned(older, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as copy:
                log.seek(-_LONGEST_LOG, os.SEEK_END)
                copy.write(log.read(_LONGEST_LOG))
            log.truncate(0)

    def size(self) -> int:
        """Length in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def complaint(self, since: int) -> str:
        """The failure that the lines after byte `since` name."""
        with os.fdopen(open_owned(self.path, os.O_RDONLY), "rb") as log:
            log.seek(since)
            return complaint_in(log.read(_LONGEST_LOG).decode(errors="replace"))


def complaint_in(output: str) -> str:
    """The first failure that a PostgreSQL program names in its output, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    failures = [match[1] for match in map(_FAILURE.search, lines) if match]
    return failures[0] if failures else lines[-1] if lines else "it said nothing"
