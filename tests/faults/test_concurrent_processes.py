"""Several processes write, delete and reconcile one store at once; nothing is lost and nothing is left over.

TEST_CONCURRENT_SECONDS sets how long they go on (default 8).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.store.verify import verify_store

pytestmark = pytest.mark.faults

WORKER = Path(__file__).with_name("store_worker.py")
SECONDS = float(os.environ.get("TEST_CONCURRENT_SECONDS", "8"))
PROCESSES = 2


@pytest.mark.timeout(SECONDS + 120)
def test_processes_that_write_and_reconcile_one_store_lose_nothing(
    migrated_database: str, tmp_path: Path
) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(tmp_path), migrated_database, str(number), str(SECONDS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    finished = [worker.communicate() for worker in workers]
    assert [(worker.returncode, err) for worker, (_, err) in zip(workers, finished, strict=True)] == [
        (0, "")
    ] * PROCESSES

    expected: dict[str, str] = {}
    opens = 0
    for line in (line.split() for out, _ in finished for line in out.splitlines()):
        if line[0] == "+":
            expected[line[1]] = line[2]
        elif line[0] == "-":
            del expected[line[1]]
        else:
            opens += int(line[1])
    assert opens >= 2 * PROCESSES

    database = Database(migrated_database)
    files = FilesystemTileFiles(tmp_path / "tiles")
    rows = PostgresTileRows(database)
    committed = list(rows.committed())
    assert {str(row.tile_id): row.content_sha256 for row in committed} == expected
    assert list(verify_store(rows, files)) == []
    total = PostgresTileMetadataStore(database).total_disk_bytes()
    assert total == sum(row.disk_bytes for row in committed)
    files.close()
    database.close()
