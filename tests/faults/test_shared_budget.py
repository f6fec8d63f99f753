"""Several processes fill one store beyond its budget, one of them is killed: the totals stay exact.

TEST_CONCURRENT_SECONDS sets how long they go on (default 8).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.store.verify import verify_store

pytestmark = pytest.mark.faults

WORKER = Path(__file__).with_name("budget_worker.py")
SECONDS = float(os.environ.get("TEST_CONCURRENT_SECONDS", "8"))
BUDGET_BYTES = 1_000_000


class Worker:
    """One process; `knows` is what its catalogue holds."""

    def __init__(self, root: Path, dsn: str, number: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(root), dsn, str(number), str(BUDGET_BYTES)],
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

    def ask(self) -> None:
        """Say a line: the first ends its work, each that follows asks what it knows."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def knows(self) -> tuple[dict[str, tuple[str, int]], int]:
        self.ask()
        *tiles, total = self.lines_until("total")
        return {tile_id: (sha256, int(size)) for _, tile_id, sha256, size in tiles}, int(total[1])


@pytest.fixture
def start(migrated_database: str, tmp_path: Path) -> Iterator[Callable[[int], Worker]]:
    """Start a process; none outlives the test."""
    started: list[Worker] = []

    def begin(number: int) -> Worker:
        started.append(Worker(tmp_path, migrated_database, number))
        return started[-1]

    yield begin
    for worker in started:
        worker.process.kill()
        with worker.process:
            pass  # waits for it and closes its pipes


@pytest.mark.timeout(SECONDS + 120)
def test_processes_that_share_a_budget_never_pass_it_and_all_know_what_is_there(
    start: Callable[[int], Worker], migrated_database: str, tmp_path: Path
) -> None:
    workers = [start(0), start(1)]
    doomed = start(2)
    for worker in (*workers, doomed):  # on a busy machine, opening a store takes seconds
        assert list(worker.lines_until("ready")) == [["ready"]]
    totals = [0]
    with psycopg.connect(migrated_database, autocommit=True) as looking:
        started = time.monotonic()
        while time.monotonic() < started + SECONDS or max(totals) <= BUDGET_BYTES * 0.9:
            assert [worker.process.poll() for worker in workers] == [None, None]
            row = looking.execute(
                "SELECT footprint_bytes, (SELECT COALESCE(sum((disk_bytes + 4095) / 4096 * 4096 + 4608), 0) "
                "FROM tiles) FROM disk_usage"
            ).fetchone()
            assert row is not None
            assert row[0] == row[1]
            totals.append(row[0])
            if doomed.process.poll() is None and time.monotonic() > started + SECONDS / 2:
                doomed.process.kill()
            time.sleep(0.02)
    doomed.process.wait()
    assert max(totals) <= BUDGET_BYTES

    for worker in workers:
        worker.ask()
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
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        assert worker.process.wait() == 0
    # The killed process may have left a file behind, which the next open removes; every row is whole.
    assert {finding.kind.value for finding in verify_store(rows, files)} <= {"orphan_file", "temporary_file"}
    files.close()
    database.close()
