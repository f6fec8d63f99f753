"""What a store's files and rows are, read and hashed here, with nothing of what wrote them."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path
from typing import Any

import attrs
import psycopg

_SELECT_ROWS = """
    SELECT concat_ws('/', source, flight_id, zoom_level, x, y), content_sha256, disk_bytes FROM tiles
"""
BESIDE = "beside"
"""The `application_name` of clients that are not to be taken for the killed ones."""
_SELECT_OTHER_SESSIONS = f"""
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> '{BESIDE}'
"""
_SELECT_ADVISORY_LOCKS = """
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND datname = current_database()
"""
_PATIENCE_S = 60.0


@attrs.frozen
class StoreState:
    """A store as it lies there, and what is wrong with it."""

    rows: dict[str, str]
    """The SHA-256 of each committed tile, by its path below the root without `.jpg`."""
    lost: list[str]
    """Rows without a file."""
    torn: list[str]
    """Rows whose file, sidecar or mode is not as it should be."""
    leaked: list[str]
    """Files that belong to no row."""
    sum_of_rows: int
    total: int
    """What the database counts."""

    def assert_whole(self) -> None:
        """I-1, I-2 and I-3, and that nothing was left over."""
        problems = {"lost": self.lost, "torn": self.torn, "leaked": self.leaked}
        assert not any(problems.values()), f"{problems}"
        assert self.total == self.sum_of_rows, f"{self.total} bytes counted, {self.sum_of_rows} in the rows"


def inspect_store(tiles: Path, connection: psycopg.Connection[Any]) -> StoreState:
    """Read every row and hash every file below `tiles`; nobody may be writing."""
    rows = {path: (sha256, size) for path, sha256, size in connection.execute(_SELECT_ROWS).fetchall()}
    found = connection.execute("SELECT total_bytes FROM disk_usage").fetchone()
    assert found is not None
    files = {
        str(path.relative_to(tiles)): path
        for folder, _, names in os.walk(tiles)
        for path in (Path(folder, name) for name in names)
    }
    files.pop(".aerotile-store", None)
    lost, torn = [], []
    for path, (sha256, size) in rows.items():
        tile, sidecar = files.pop(f"{path}.jpg", None), files.pop(f"{path}.jpg.sha256", None)
        if tile is None:
            lost.append(path)
        elif sidecar is None or not _is_whole(tile, sidecar, sha256, size):
            torn.append(path)
    return StoreState(
        rows={path: sha256 for path, (sha256, _) in rows.items()},
        lost=lost,
        torn=torn,
        leaked=sorted(files),
        sum_of_rows=sum(size for _, size in rows.values()),
        total=found[0],
    )


def _is_whole(tile: Path, sidecar: Path, sha256: str, size: int) -> bool:
    content = tile.read_bytes()
    return (
        (hashlib.sha256(content).hexdigest(), len(content)) == (sha256, size)
        and sidecar.read_text() == f"{sha256}  {tile.name}\n"
        and {stat.S_IMODE(file.stat().st_mode) for file in (tile, sidecar)} == {0o440}
    )


def other_sessions(connection: psycopg.Connection[Any]) -> set[int]:
    """The server's processes that serve somebody else in this database."""
    return {pid for (pid,) in connection.execute(_SELECT_OTHER_SESSIONS).fetchall()}


def await_end_of_sessions(connection: psycopg.Connection[Any], sessions: set[int]) -> None:
    """Wait until the server has noticed that these clients are dead, and has finished what they asked."""
    deadline = time.monotonic() + _PATIENCE_S
    while sessions & other_sessions(connection):
        assert time.monotonic() < deadline, "the sessions of dead clients do not end"
        time.sleep(0.002)


def advisory_locks(connection: psycopg.Connection[Any]) -> int:
    """How many advisory locks anybody holds in this database."""
    found = connection.execute(_SELECT_ADVISORY_LOCKS).fetchone()
    assert found is not None
    return int(found[0])
