"""The flight record's disk fails: recording goes on, no event is lost that is not counted, all recovers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product

import pytest
from disk_faults import ALL_ERRORS, ERRORS, Call, DiskWorker, attached, failing, needs_strace
from fault_tally import FaultTally

pytestmark = [pytest.mark.faults, needs_strace, pytest.mark.timeout(900)]

CALLS = ("mkdirat", "getdents64", "openat", "flock", "write", "fdatasync", "fsync")
TIMES = (1, 2, 5)
FAULTS = [
    (call, error, number, for_good)
    for call in CALLS
    for place, (number, for_good) in enumerate(product(TIMES, (False, True)))
    for error in (ERRORS[call] if ALL_ERRORS else (ERRORS[call][place % len(ERRORS[call])],))
    if not (call == "mkdirat" and number > 1)
]
HARMLESS = ("flock", "getdents64", "openat")
"""Calls of which the writer makes some that it can do without, such as going on with an old segment."""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DiskWorker]:
    worker = DiskWorker("record", tmp_path_factory.mktemp("site"))
    yield worker
    worker.close()


@pytest.mark.parametrize(
    ("call", "error", "number", "for_good"),
    FAULTS,
    ids=lambda value: (
        {True: "from then on", False: "once"}.get(value, str(value)) if value in (0, 1) else None
    ),
)
def test_no_event_is_lost_to_a_disk_that_fails_for_a_while(
    worker: DiskWorker, call: str, error: str, number: int, for_good: bool, fault_tally: FaultTally
) -> None:
    worker.must("prepare", "record")
    words = failing(Call(call, number, ""), error, from_then_on=for_good)
    with attached(worker, "-o", "/dev/null", *words):
        told = json.loads(worker.must("do", "record").told)
    assert told["failures"] or call in HARMLESS, told
    worker.must("check", "record")
    worker.must("undo", "record")
    fault_tally.add("failing call: flight record", 1)
