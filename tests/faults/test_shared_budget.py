"""Several processes fill one store beyond its budget, one of them is killed: the totals stay exact.

TEST_CONCURRENT_SECONDS sets how long they go on (default 8).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.rows import PostgresTileRows
from aerotile.domain.verify import verify_store

pytestmark = pytest.mark.faults

WORKER = Path(__file__).with_name("budget_worker.py")
SECONDS = float(os.environ.get("TEST_CONCURRENT_SECONDS", "8"))
BUDGET_BYTES = 120_000


class Worker:
    """One process; `knows` is what its catalogue holds."""

    def __init__(self, root: Path, dsn: str, number: int, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(root), dsn, str(number), str(BUDGET_BYTES), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def lines_until(self, last: str) -> Iterator[list[str]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield line.split()
            if line.startswith(last):
                return

    def knows(self) -> tuple[dict[str, tuple[str, int]], int]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        *tiles, total = self.lines_until("total")
        return {tile_id: (sha256, int(size)) for _, tile_id, sha256, size in tiles}, int(total[1])


@pytest.mark.timeout(SECONDS + 120)
def test_processes_that_share_a_budget_never_pass_it_and_all_know_what_is_there(
    migrated_database: str, tmp_path: Path
) -> None:
    workers = [Worker(tmp_path, migrated_database, number, SECONDS) for number in range(2)]
    doomed = Worker(tmp_path, migrated_database, 2, SECONDS + 100)
    totals: list[int] = []
    with psycopg.connect(migrated_database, autocommit=True) as looking:
        started = time.monotonic()
        while time.monotonic() < started + SECONDS:
            row = looking.execute(
                "SELECT total_bytes, (SELECT COALESCE(sum(disk_bytes), 0) FROM tiles) FROM disk_usage"
            ).fetchone()
            assert row is not None
            assert row[0] == row[1]
            totals.append(row[0])
            if doomed.process.poll() is None and time.monotonic() > started + SECONDS / 2:
                doomed.process.kill()
            time.sleep(0.02)
    doomed.process.communicate()
    assert max(totals) <= BUDGET_BYTES
    assert max(totals) > BUDGET_BYTES * 0.9

    kept = {line[1] for worker in workers for line in worker.lines_until("over") if line[0] == "kept"}
    database = Database(migrated_database)
    files = FilesystemTileFiles(tmp_path / "tiles")
    rows = PostgresTileRows(database)
    committed = {str(r.tile_id): (r.content_sha256, r.disk_bytes) for r in rows.committed()}
    assert kept <= committed.keys()
    total = sum(size for _, size in committed.values())
    for worker in workers:
        while worker.knows() != (committed, total):  # pytest's timeout ends a wait in vain
            time.sleep(0.05)
        worker.process.communicate()
        assert worker.process.returncode == 0
    # The killed process may have left a file behind, which the next open removes; every row is whole.
    assert {finding.kind.value for finding in verify_store(rows, files)} <= {"orphan_file", "temporary_file"}
    files.close()
    database.close()
