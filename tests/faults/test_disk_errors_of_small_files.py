"""Every system call on a file that is neither tile nor index fails once: no half file stays, all recovers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from disk_faults import DiskWorker, Operation, Sweep, files_below, needs_strace
from fault_tally import FaultTally

pytestmark = [pytest.mark.faults, needs_strace, pytest.mark.timeout(900)]

LEFT_BY_A_CRASH = f"opened/tiles/{UUID(int=1)}.jpg.tmp"  # what `provider open` begins with
LOST = ("StoreUnavailableError",)
OPERATIONS = [
    Operation("mcap", LOST),
    Operation("record", LOST),
    # The command line turns an `OSError` into one line, as it does with our own errors.
    Operation("verify progress", ("OSError",)),
    Operation("resume", ("BadInputError",)),
    Operation("provider token", ("OSError",)),
    Operation("provider tiles", LOST, atomic=False),
    Operation("provider open", LOST, atomic=False),
    Operation("provider votes", LOST),
    Operation("provider votes open", LOST),
    Operation("database", LOST, atomic=False),
    Operation("database again", LOST, atomic=False),
    Operation("demo", ("OSError",), atomic=False),
    Operation("configuration", ("ConfigurationError",)),
    Operation("token", ("ConfigurationError",)),
    Operation("sectors", ("OSError",)),
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DiskWorker]:
    worker = DiskWorker("small", tmp_path_factory.mktemp("site"))
    yield worker
    worker.close()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_call_that_fails_leaves_no_half_file_and_the_next_attempt_succeeds(
    worker: DiskWorker, operation: Operation, tmp_path: Path, fault_tally: FaultTally
) -> None:
    folder = worker.folder / "small"

    def assert_nothing_half_done() -> None:
        left = {path for path in files_below(folder) if path.endswith((".tmp", ".partial", ".new"))}
        assert left <= {LEFT_BY_A_CRASH}

    sweep = Sweep(
        worker,
        operation,
        folder,
        lambda: files_below(folder),
        after_failure=assert_nothing_half_done,
        log=tmp_path / "trace",
    )
    fault_tally.add(f"failing call: {operation.name}", sweep.run())
