"""A disk whose writes and syncs hang, or are slow: readers go on, recording goes on, and all recovers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from disk_faults import DiskWorker, attached, needs_strace
from fault_tally import FaultTally
from stalling_disks import NEEDS_STALLING_DISK, Disk, stalling_disk

pytestmark = [pytest.mark.faults, *NEEDS_STALLING_DISK]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with stalling_disk(tmp_path) as disk:
        yield disk


@pytest.fixture
def worker(disk: Disk) -> Iterator[DiskWorker]:
    """A process with a store on the disk; this one has no file there, so that it can't hang with it."""
    worker = DiskWorker("stuck", disk.mounted)
    yield worker
    disk.tell("go")
    worker.close()


@pytest.mark.parametrize("writing", ["write", "batch"])
def test_a_write_that_hangs_keeps_no_reader_waiting_and_ends_well(
    disk: Disk, worker: DiskWorker, writing: str, fault_tally: FaultTally
) -> None:
    worker.must("prepare", "read")
    disk.tell("stall writes")
    worker.must("do", writing)
    for _ in range(3):
        worker.must("do", "read")
    worker.must("undo", writing)
    disk.tell("go")
    worker.must("check", writing)
    worker.must("do", "read")
    fault_tally.add("stuck write: readers", 1)


def test_a_sync_that_hangs_keeps_no_recorder_waiting_and_every_event_is_there_or_counted(
    disk: Disk, worker: DiskWorker, fault_tally: FaultTally
) -> None:
    worker.must("prepare", "record")
    disk.tell("stall writes")
    worker.must("do", "record")
    disk.tell("go")
    worker.must("check", "record")
    fault_tally.add("stuck write: recorder", 1)


def test_a_recorder_whose_sync_hangs_is_closed_in_time(
    disk: Disk, worker: DiskWorker, fault_tally: FaultTally
) -> None:
    worker.must("prepare", "record")
    disk.tell("stall writes")
    worker.must("do", "record")
    worker.must("do", "close recorder")
    disk.tell("go")
    fault_tally.add("stuck write: recorder", 1)


@needs_strace
@pytest.mark.parametrize("call", ["fsync", "sync_file_range", "write", "renameat"])
def test_a_slow_call_of_a_write_keeps_no_reader_waiting(
    disk: Disk, worker: DiskWorker, call: str, fault_tally: FaultTally
) -> None:
    worker.must("prepare", "read")
    with attached(worker, "-o", "/dev/null", "-e", f"inject=?{call}:delay_enter=200000:when=1+"):
        worker.must("do", "slow writes")
        worker.must("do", "read")
        worker.must("check", "slow writes")
    fault_tally.add("slow calls", 1)
