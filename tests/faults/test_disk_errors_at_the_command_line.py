"""The disk fails under a command: one line on standard error, exit code 1, and the next call succeeds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from disk_faults import DiskWorker, attached, files_below, needs_strace
from fault_tally import FaultTally

pytestmark = [pytest.mark.faults, needs_strace, pytest.mark.timeout(300)]

EVERY_TIME = "when=1+"
FAILURES = [
    ("ingest", "write:error=ENOSPC", None, "No space left on device"),
    ("ingest", "syncfs:error=EIO", None, "Input/output error"),
    ("ingest", "?rename,renameat:error=EROFS", None, "Read-only file system"),
    ("index", "fsync:error=EIO", None, "Input/output error"),
    ("index", "write:error=EDQUOT", None, "Disk quota exceeded"),
    ("rollback", "?rename,?renameat,?renameat2:error=EROFS", None, "Read-only file system"),
    ("export", "write:error=ENOSPC", ".flight.mcap.tmp", "No space left on device"),
    ("export", "fsync:error=EIO", ".flight.mcap.tmp", "Input/output error"),
    ("sectors", "read:error=EIO", "sectors.geojson", "Input/output error"),
    ("status", "read:error=EIO", "given.toml", "Input/output error"),
    ("status", "openat:error=EMFILE", "given.toml", "Too many open files"),
]


@pytest.fixture(scope="module")
def worker(
    postgres_server: Any, _migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DiskWorker]:
    """A process that has called every command once: what they import is imported."""
    database = postgres_server.create_database(template=_migrated_template)
    worker = DiskWorker("cli", tmp_path_factory.mktemp("site"), postgres_server.dsn_of(database))
    try:
        for command in ("ingest", "index", "index", "rollback", "export", "sectors", "verify", "status"):
            told = json.loads(worker.must("do", command).told)
            assert told["code"] == 0, told
        yield worker
    finally:
        worker.close()
        postgres_server.drop_database(database)


@pytest.mark.parametrize(("command", "fault", "path", "reason"), FAILURES)
def test_a_command_says_in_one_line_what_the_disk_did_and_succeeds_the_next_time(
    worker: DiskWorker, command: str, fault: str, path: str | None, reason: str, fault_tally: FaultTally
) -> None:
    if command == "ingest":
        worker.must("prepare", "new tiles")
    if command == "export":
        (worker.folder / "flight.mcap").unlink(missing_ok=True)  # of the case before; none is replaced
    if command == "rollback":
        assert json.loads(worker.must("do", "index").told)["code"] == 0
    only = () if path is None else ("-P", str(worker.folder / path))
    with attached(worker, "-o", "/dev/null", *only, "-e", f"inject={fault}:{EVERY_TIME}"):
        told = json.loads(worker.must("do", command).told)
    assert told["code"] == (2 if command == "status" else 1), told  # a configuration that can't be read
    line = told["err"].splitlines()[-1]
    assert line.startswith("error: ")
    assert reason in line
    assert "Traceback" not in told["err"]
    left = files_below(worker.folder)
    assert not [name for name in left if name.endswith((".tmp", ".partial"))]
    again = json.loads(worker.must("do", command).told)
    assert again["code"] == 0, again
    fault_tally.add("failing disk: commands", 1)


def test_a_check_on_a_read_only_disk_goes_to_its_end_and_shows_what_it_found(
    worker: DiskWorker, fault_tally: FaultTally
) -> None:
    worker.must("prepare", "verify")
    with attached(worker, "-o", "/dev/null", "-e", f"inject=?unlink,?unlinkat:error=EROFS:{EVERY_TIME}"):
        told = json.loads(worker.must("do", "verify").told)
    assert told["code"] == 0, told
    assert "every row has its file" in told["out"]
    assert "verify-progress.json can't be removed: Read-only file system" in told["err"]
    fault_tally.add("failing disk: commands", 1)
