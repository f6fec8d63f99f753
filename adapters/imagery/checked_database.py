"""`CheckedDatabase`: an SQLite file from outside, read and never changed, whatever its schema does."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...domain.errors import ImagerySourceError

MOST_PICTURE_BYTES = 16 << 20
_MAGIC = b"SQLite format 3\0"
_STEPS_A_CALL = 100_000
_LEAST_STEPS = 20_000_000
_STEPS_PER_BYTE = 4
"""A row of tiles takes at least 20 bytes of the file and less than 80 steps of a query."""
_SELECT, _READ, _FUNCTION = 21, 20, 31
_FUNCTIONS = frozenset(
    [
        "abs",
        "coalesce",
        "count",
        "ifnull",
        "iif",
        "length",
        "lower",
        "max",
        "min",
        "nullif",
        "round",
        "substr",
        "sum",
        "total",
        "typeof",
        "upper",
    ]
)
"""What views of tiles call; others can make values of any size, or reach outside the file."""


class CheckedDatabase:
    """A file of SQLite, opened as one that nobody changes: no lock is taken, no journal is written.

    Only queries run, with a bounded number of steps, and views may call harmless functions alone.
    """

    def __init__(self, path: Path) -> None:
        """Raises `ImagerySourceError` for what is no database, or one that another program has open."""
        self.path = path
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise ImagerySourceError(f"{path} is no plain file")
            with path.open("rb") as file:
                head = file.read(len(_MAGIC))
        except OSError as error:
            raise ImagerySourceError(f"{path} can't be read: {error.strerror}") from error
        if head != _MAGIC:
            raise ImagerySourceError(f"{path} is no SQLite database")
        for suffix in ("-wal", "-journal"):
            beside = path.with_name(path.name + suffix)
            if beside.is_file() and beside.stat().st_size:
                raise ImagerySourceError(
                    f"{path} is being written, or a write was cut short: {beside.name} lies beside it",
                    remedy="close the program that has it open, or: "
                    f"sqlite3 {path} 'PRAGMA journal_mode=DELETE'",
                )
        self._most_steps = _LEAST_STEPS + _STEPS_PER_BYTE * status.st_size
        self._steps = 0
        address = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(
                address, uri=True, check_same_thread=False, isolation_level=None
            )
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.execute("PRAGMA cell_size_check = ON")
        except sqlite3.Error as error:
            raise ImagerySourceError(f"{path} can't be opened: {error}") from error
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        if sys.version_info >= (3, 11):
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * MOST_PICTURE_BYTES)
        self._connection.set_progress_handler(self._count, _STEPS_A_CALL)
        self._connection.set_authorizer(_authorize)

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises `ImagerySourceError`."""
        self._steps = 0
        try:
            return self._connection.execute(query, parameters).fetchall()
        except (sqlite3.Error, OverflowError, MemoryError, UnicodeDecodeError) as error:
            # A message of SQLite quotes names of the schema, whatever their bytes are.
            reason = "a name in its schema is no UTF-8" if isinstance(error, UnicodeError) else str(error)
            if self._steps > self._most_steps:
                reason = f"a query takes more than {self._most_steps} steps; a view may join too much"
            raise ImagerySourceError(
                f"{self.path} can't be read: {reason or type(error).__name__}",
                remedy="write the archive again; PRAGMA integrity_check says whether it is damaged",
            ) from error

    def names(self) -> frozenset[str]:
        """The tables and views, in lower case."""
        rows = self.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        return frozenset(name.lower() for (name,) in rows if isinstance(name, str))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _count(self) -> int:
        self._steps += _STEPS_A_CALL
        return self._steps > self._most_steps


def _authorize(action: int, _: str | None, name: str | None, *__: str | None) -> int:
    if action in (_SELECT, _READ) or (action == _FUNCTION and str(name).lower() in _FUNCTIONS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
