"""The invariants of a store, by looking at rows and files themselves, with none of the store's own code."""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path

import psycopg

_TILE = re.compile(r"(?P<place>.+/\d+/\d+/\d+)\.jpg")


def tiles_on_disk(root: Path) -> tuple[dict[str, str], set[str]]:
    """The SHA-256 of each tile's file by its path below `tiles/` without suffix, and the other files."""
    hashes: dict[str, str] = {}
    others: set[str] = set()
    tiles = root / "tiles"
    for folder, _, names in os.walk(tiles):
        for name in names:
            path = Path(folder, name)
            below = path.relative_to(tiles).as_posix()
            if match := _TILE.fullmatch(below):
                hashes[match["place"]] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                others.add(below)
    return hashes, others


def check_invariants(root: Path, dsn: str) -> dict[str, str]:
    """Assert I-1 to I-3 right after an open, and that nothing is left over; the committed tiles' SHA-256."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT concat_ws('/', source, flight_id, zoom_level, x, y), content_sha256, disk_bytes "
            "FROM tiles"
        ).fetchall()
        total = connection.execute("SELECT total_bytes FROM disk_usage").fetchone()
    hashes, others = tiles_on_disk(root)
    committed = {str(place): str(sha256) for place, sha256, _ in rows}
    missing = committed.keys() - hashes.keys()
    assert not missing, f"I-1: committed, but without a file: {sorted(missing)}"
    torn = [place for place, sha256 in committed.items() if hashes[place] != sha256]
    assert not torn, f"I-1: not what was committed: {torn}"
    orphans = hashes.keys() - committed.keys()
    assert not orphans, f"I-2: without a row: {sorted(orphans)}"
    assert total == (sum(size for _, _, size in rows),), "I-3: the total is not the sum"
    sidecars = {f"{place}.jpg.sha256" for place in committed}
    assert others - sidecars == {".aerotile-store"}, f"left over: {sorted(others - sidecars)}"
    assert sidecars <= others, f"without a sidecar: {sorted(sidecars - others)}"
    wrong = [
        place
        for place, sha256 in committed.items()
        if (root / "tiles" / f"{place}.jpg.sha256").read_text() != f"{sha256}  {Path(place).name}.jpg\n"
    ]
    assert not wrong, f"with a wrong sidecar: {wrong}"
    return committed


def wait_until_nobody_is_connected(dsn: str, within_s: float = 30.0) -> None:
    """Assert that every connection and every advisory lock of ended processes is gone soon."""
    deadline = time.monotonic() + within_s
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            left = connection.execute(
                "SELECT pid, application_name, state, query FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND backend_type = 'client backend'"
            ).fetchall()
            if not left:
                break
            assert time.monotonic() < deadline, f"still connected: {left}"
            time.sleep(0.1)
        locks = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
    assert locks == (0,)
