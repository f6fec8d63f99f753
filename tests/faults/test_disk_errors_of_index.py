"""Every system call of the descriptor index on its files fails once: one whole generation is in use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from disk_faults import DiskWorker, Operation, Sweep, files_below, needs_strace
from fault_tally import FaultTally

pytestmark = [pytest.mark.faults, needs_strace, pytest.mark.timeout(900)]

CLEANING = ("unlink", "unlinkat", "rmdir")
OPERATIONS = [
    # Removing what is older than asked for may wait for the next build, and the switch was made before.
    Operation(
        "build",
        ("IndexBuildError",),
        survives=(*CLEANING, "rename", "openat", "read", "getdents64"),
        atomic=False,
    ),
    Operation("rollback", ("IndexBuildError", "IndexUnavailableError"), survives=CLEANING, atomic=False),
    Operation("open", ("IndexUnavailableError",)),
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DiskWorker]:
    worker = DiskWorker("index", tmp_path_factory.mktemp("site"))
    yield worker
    worker.close()


def assert_whole(worker: DiskWorker, root: Path, operation: str) -> None:
    """The pointer names a generation, all files are what the sidecars say, and no half build is left."""
    files = files_below(root)
    current = (root / "current").read_text().strip()
    assert f"generations/{current}/tiles.index" in files
    for path in files:
        assert not path.endswith((".partial", ".tmp")), path
        if path.endswith("tiles.index.sha256"):
            for line in (root / path).read_text().splitlines():
                sha256, _, name = line.partition("  ")
                file = (root / path).with_name(name)
                assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    worker.must("whole", operation)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_call_that_fails_leaves_a_whole_generation_in_use_and_the_next_attempt_succeeds(
    worker: DiskWorker, operation: Operation, tmp_path: Path, fault_tally: FaultTally
) -> None:
    root = worker.folder / "index"
    sweep = Sweep(
        worker,
        operation,
        root,
        lambda: files_below(root),
        after_failure=lambda: assert_whole(worker, root, operation.name),
        log=tmp_path / "trace",
    )
    fault_tally.add(f"failing call: index, {operation.name}", sweep.run())
