"""Several processes do everything to one store at once, from many threads, while one after another is killed.

TEST_CONCURRENT_SECONDS sets how long they go on (default 8).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import psycopg
import pytest
from fault_tally import FaultTally
from mixed_worker import EXPECTED, INDEXED, indexed
from store_facts import Audit
from store_sessions import wait_until_nobody_is_connected

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.store.verify import verify_store

pytestmark = pytest.mark.faults

WORKER = Path(__file__).with_name("mixed_worker.py")
SECONDS = float(os.environ.get("TEST_CONCURRENT_SECONDS", "8"))
PROCESSES = 4
BUDGET_BYTES = 1_300_000
LONGEST_LIFE_S = 6.0
START_LIMIT_S = 90.0
END_LIMIT_S = 90.0


class Worker:
    """One process; what it says goes into files, so that it never waits for whoever reads it."""

    def __init__(self, root: Path, dsn: str, number: int) -> None:
        self.out, self.err = (root.parent / f"worker-{number}.{name}" for name in ("out", "err"))
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), str(root), dsn, str(number), str(BUDGET_BYTES)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
            )

    def lines(self) -> Iterator[list[str]]:
        """What it said; a line that a kill cut off is none."""
        said = self.out.read_text()
        return (line.split() for line in said[: said.rfind("\n") + 1].splitlines())

    @property
    def is_ready(self) -> bool:
        return ["ready"] in list(self.lines())

    def check_alive(self) -> None:
        assert self.process.poll() is None, self.err.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        """Let it end, and assert that it does so well, and in time."""
        try:
            self.process.communicate(timeout=END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # prints its stacks
            self.process.communicate()
        assert (self.process.returncode, self.err.read_text()) == (0, "")


class Crew:
    """The processes at work, and those that were killed."""

    def __init__(self, root: Path, dsn: str) -> None:
        self._root, self._dsn = root, dsn
        self.all: list[Worker] = []
        self.at_work: list[Worker] = []
        self.chance = random.Random(4)
        for _ in range(PROCESSES):
            self.hire()

    def hire(self) -> None:
        worker = Worker(self._root, self._dsn, len(self.all))
        self.all.append(worker)
        self.at_work.append(worker)

    def kill_one(self) -> None:
        victim = self.chance.choice(self.at_work)
        victim.check_alive()
        victim.kill()
        self.at_work.remove(victim)
        self.hire()

    @property
    def has_done_everything(self) -> bool:
        """Whether each deed was done by somebody, killed or not."""
        return {line[1] for each in self.all for line in each.lines() if line[0] == "did"} == EXPECTED.keys()

    def kill_all(self) -> None:
        for worker in self.at_work:
            worker.kill()


@pytest.fixture
def crew(migrated_database: str, tmp_path: Path) -> Iterator[Crew]:
    build_first_generation(tmp_path / "store")
    crew = Crew(tmp_path / "store", migrated_database)
    yield crew
    crew.kill_all()


def build_first_generation(root: Path) -> None:
    pairs = [indexed(place) for place in range(INDEXED)]
    index = FaissDescriptorIndex(root / "index")
    index.rebuild(
        [tile_id for tile_id, _ in pairs],
        np.stack([descriptor for _, descriptor in pairs]),
        descriptor_model="mixed",
        built_at=datetime.now(timezone.utc),
    )
    index.close()


def wait_until_all_are_ready(crew: Crew) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not all(worker.is_ready for worker in crew.at_work):
        assert time.monotonic() < deadline, "a process did not get ready"
        for worker in crew.at_work:
            worker.check_alive()
        time.sleep(0.05)


def watch_totals(crew: Crew, dsn: str) -> tuple[list[int], int]:
    """Look at the database's number and at the sum of its rows all the time; kill now and then, how often.

    Ends when the time is over, the budget was nearly full, and each deed was done, however busy the machine.
    """
    totals: list[int] = [0]
    kills = 0
    with psycopg.connect(dsn, autocommit=True) as looking:
        started = time.monotonic()
        next_kill = started + 1.0
        while (
            time.monotonic() < started + SECONDS
            or max(totals) <= BUDGET_BYTES * 0.9
            or not crew.has_done_everything
        ):
            row = looking.execute(
                "SELECT footprint_bytes, (SELECT COALESCE(sum((disk_bytes + 4095) / 4096 * 4096 + 4608), 0) "
                "FROM tiles) FROM disk_usage"
            ).fetchone()
            assert row is not None
            assert row[0] == row[1], "I-3: the total is not the sum"
            assert row[0] <= BUDGET_BYTES, "the budget was passed"
            totals.append(row[0])
            if time.monotonic() >= next_kill:
                crew.kill_one()
                kills += 1
                next_kill = time.monotonic() + crew.chance.uniform(0.3, 2 * LONGEST_LIFE_S / PROCESSES)
            time.sleep(0.01)
    return totals, kills


@pytest.mark.timeout(SECONDS + START_LIMIT_S + PROCESSES * END_LIMIT_S)
def test_processes_that_do_everything_at_once_lose_nothing_and_never_wait_for_ever(
    crew: Crew, migrated_database: str, tmp_path: Path, fault_tally: FaultTally
) -> None:
    root = tmp_path / "store"
    wait_until_all_are_ready(crew)
    _, kills = watch_totals(crew, migrated_database)
    wait_until_all_are_ready(crew)
    for worker in crew.at_work:
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        worker.process.stdin = None
    for worker in crew.at_work:
        worker.end()
    for worker in crew.all:
        assert worker.err.read_text() == ""
    wait_until_nobody_is_connected(migrated_database)

    config = AerotileConfig(root=root, database=DatabaseConfig(dsn=Secret(migrated_database)))
    with Runtime(config) as runtime:
        assert runtime.tile_store.opened.files_missing == 0
        with psycopg.connect(migrated_database, autocommit=True) as connection:
            audit = Audit.of(connection, root / "tiles")
        audit.assert_whole()
        findings = list(verify_store(runtime.rows, runtime.files))
        assert findings == []
        index = runtime.descriptor_index
        assert [index.search(indexed(place)[1], 1)[0].tile_id.x for place in range(5)] == list(range(5))

    said = [line for worker in crew.all for line in worker.lines()]
    freed = {line[1] for line in said if line[0] == "freed"}
    kept = {line[1]: line[2] for line in said if line[0] == "kept" and line[1] not in freed}
    lost = {tile for tile, sha256 in kept.items() if audit.rows.get(tile) != sha256}
    fault_tally.add("processes killed among others", kills, lost=len(lost))
    assert not lost
    assert kept
