"""Every system call of a tile store on its files fails once: nothing is lost, nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest
from disk_faults import (
    ERRORS,
    Call,
    DiskWorker,
    Operation,
    Sweep,
    assert_told,
    attached,
    failing,
    files_below,
    needs_strace,
)
from fault_tally import FaultTally

pytestmark = [pytest.mark.faults, needs_strace, pytest.mark.timeout(900)]

LOST = ("StoreUnavailableError",)
OPERATIONS = [
    Operation("write", LOST),
    Operation("batch", LOST, atomic=False),
    Operation("delete", LOST, atomic=False),
    Operation("sidecar", LOST, atomic=False),
    Operation("quarantine", LOST),
    Operation("open", LOST, atomic=False),
    # A store opens although an orphan stays or a sidecar can't be restored: its tiles can be read.
    Operation("reconcile", LOST, survives=tuple(ERRORS), atomic=False),
    # What can't be opened without waiting is opened once more, the long way.
    Operation("read", LOST, survives=("openat2",)),
    Operation("bytes", LOST, survives=("openat2",)),
    Operation("hash", LOST),
    Operation("read sidecar", LOST),
]


@attrs.frozen
class Site:
    """A store, looked at from outside: its files hashed, its rows read, by none of its own code."""

    root: Path
    rows: psycopg.Connection[Any]
    worker: DiskWorker

    @property
    def tiles(self) -> Path:
        return self.root / "tiles"

    def committed(self) -> dict[str, str]:
        """Path and SHA-256 of each committed tile."""
        found = self.rows.execute("SELECT zoom_level, x, y, content_sha256 FROM tiles").fetchall()
        return {f"imported/{zoom}/{x}/{y}.jpg": sha256 for zoom, x, y, sha256 in found}

    def look(self) -> tuple[dict[str, str], dict[str, str]]:
        return files_below(self.tiles), self.committed()

    def assert_consistent(self, *, orphans: bool = False) -> None:
        """I-1 and I-3, and unless there may be orphans I-2: nothing is on the disk but committed tiles."""
        files, committed = self.look()
        for path, sha256 in committed.items():
            kept = files.get(path, files.get(f".quarantine/{path}"))
            assert kept == sha256, f"{path} is committed, its file is {kept}"
        total = self.rows.execute(
            "SELECT total_bytes - (SELECT coalesce(sum(disk_bytes), 0) FROM tiles) FROM disk_usage"
        ).fetchone()
        assert total == (0,)
        temporaries = [path for path in files if path.endswith(".tmp")]
        assert temporaries == []
        if not orphans:
            tiles = {p for p in files if p.endswith(".jpg") and p.startswith("imported/")}
            assert tiles <= committed.keys()


@pytest.fixture(scope="module")
def site(
    postgres_server: Any, _migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    database = postgres_server.create_database(template=_migrated_template)
    dsn = postgres_server.dsn_of(database)
    root = tmp_path_factory.mktemp("site")
    worker = DiskWorker("tiles", root, dsn)
    try:
        with psycopg.connect(dsn, autocommit=True) as rows:
            yield Site(root, rows, worker)
    finally:
        worker.close()
        postgres_server.drop_database(database)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_call_that_fails_leaves_the_store_whole_and_the_next_attempt_succeeds(
    site: Site, operation: Operation, tmp_path: Path, fault_tally: FaultTally
) -> None:
    loose = operation.name in ("delete", "reconcile")
    sweep = Sweep(
        site.worker,
        operation,
        site.tiles,
        site.look,
        lambda: site.assert_consistent(orphans=loose),
        log=tmp_path / "trace",
    )
    fault_tally.add(f"failing call: tiles, {operation.name}", sweep.run())
    site.assert_consistent()


@pytest.mark.parametrize("name", ["write", "batch", "delete"])
def test_what_a_dead_disk_kept_from_being_removed_goes_at_the_next_open(
    site: Site, name: str, tmp_path: Path, fault_tally: FaultTally
) -> None:
    operation = next(operation for operation in OPERATIONS if operation.name == name)
    sweep = Sweep(
        site.worker, operation, site.tiles, site.look, site.assert_consistent, log=tmp_path / "trace"
    )

    def open_anew() -> None:
        site.worker.must("undo", "delete")  # which reconciles, as every open does

    fault_tally.add(f"dying disk: tiles, {name}", sweep.run_dying(open_anew))


@pytest.mark.parametrize(
    ("call", "error"), [("getdents64", "EIO"), ("openat2", "EMFILE"), ("openat2", "EIO")]
)
def test_a_folder_that_can_not_be_listed_is_no_empty_folder(
    site: Site, call: str, error: str, fault_tally: FaultTally
) -> None:
    site.worker.must("prepare", "list")
    with attached(
        site.worker, "-o", "/dev/null", *failing(Call(call, 1, ""), error)
    ):  # in each of its threads
        answer = site.worker.tell("do", "list")
    assert_told(answer, LOST, error, str(answer))
    site.worker.must("do", "list")
    site.worker.must("undo", "list")
    fault_tally.add("failing call: tiles, list", 1)


@pytest.mark.parametrize("fault", ["mkdirat:error=ENOSPC", "?rename,renameat:error=EROFS", "fsync:error=EIO"])
def test_a_repair_that_fails_forgets_no_tile_and_wipes_no_file(
    site: Site, fault: str, fault_tally: FaultTally
) -> None:
    site.worker.must("prepare", "repair")
    before = site.look()
    with attached(site.worker, "-o", "/dev/null", "-e", f"inject={fault}:when=1+"):
        answer = site.worker.tell("do", "repair")
    assert "StoreUnavailableError" in answer.error
    files, committed = site.look()
    assert committed == before[1]
    assert sorted(files.values()) == sorted(before[0].values())
    site.worker.must("undo", "delete")  # the next open wipes nothing of it
    assert sorted(site.look()[0].values()) == sorted(before[0].values())
    site.worker.must("do", "repair")
    site.worker.must("check", "repair")
    site.worker.must("undo", "repair")
    site.assert_consistent()
    fault_tally.add("failing call: tiles, repair", 1)
