"""kill -9 of the program and its embedded database together, at random moments; it opens again without help.

TEST_GROUP_KILLS sets how often (default 4).
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fault_tally import FaultTally
from store_facts import Audit
from store_sessions import advisory_locks
from waiting import until

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.settings import AerotileConfig

KILLS = int(os.environ.get("TEST_GROUP_KILLS", "4"))
WORKER = Path(__file__).with_name("flight_worker.py")
LONGEST_START_S = 2.0
LONGEST_FLIGHT_S = 0.5
PATIENCE_S = 60

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + 30 * KILLS)]


def processes_in(folder: Path) -> list[int]:
    """Every process that works in `folder`: those of the database's server."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
    return found


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0


def kill_together(worker: subprocess.Popen[bytes], folder: Path, chance: random.Random) -> None:
    """Kill the program and the database, in any order: all processes, or only those above the others."""
    victims = processes_in(folder)
    if chance.random() < 0.5:
        victims = [pid for pid in victims if parent_of(pid) not in victims]
    victims.append(worker.pid)
    chance.shuffle(victims)
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    worker.wait()


def fly_until_killed(
    root: Path, number: int, chance: random.Random, *, while_opening: bool
) -> list[dict[str, Any]]:
    """Let a program open the store and change it until everything dies; the whole lines that it said."""
    with subprocess.Popen(
        [sys.executable, str(WORKER), str(root), str(number)], stdout=subprocess.PIPE, start_new_session=True
    ) as worker:
        assert worker.stdout is not None
        try:
            if while_opening:
                time.sleep(chance.uniform(0.2, LONGEST_START_S))
            else:
                assert select.select([worker.stdout], [], [], PATIENCE_S)[0], "it does not open"
                time.sleep(chance.uniform(0, LONGEST_FLIGHT_S))
            assert worker.poll() is None
        finally:
            kill_together(worker, root / "postgres", chance)
        assert worker.returncode in (-signal.SIGKILL, 1)  # 1: refused, where the database died first
        return [json.loads(line) for line in worker.stdout if line.endswith(b"\n")]


def after(changes: dict[str, str | None], tiles: dict[str, str]) -> dict[str, str]:
    """`tiles` after these changes."""
    return {tile: sha256 for tile, sha256 in (tiles | changes).items() if sha256 is not None}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A root whose database does not outlive the test."""
    yield tmp_path
    for pid in processes_in(tmp_path):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_store_whose_program_and_database_are_killed_opens_again_with_all_that_was_confirmed(
    root: Path, fault_tally: FaultTally
) -> None:
    chance = random.Random(KILLS)
    tiles: dict[str, str] = {}
    kind = "kill of the program and its database"
    for number in range(KILLS):
        # The very first opening makes the database; it is killed, too.
        said = fly_until_killed(root, number, chance, while_opening=number % 3 == 0)
        pending: dict[str, str | None] = {}
        for line in said:
            if "will" in line:
                pending = line["will"]
            elif "done" in line:
                tiles, pending = after(pending, tiles), {}
            else:
                assert line == {"opened": len(tiles)}
        with Runtime(AerotileConfig(root=root)) as runtime:
            opened = runtime.tile_store.opened
            with psycopg.connect(runtime.dsn, autocommit=True) as connection:
                state = Audit.of(connection, root / "tiles")
                assert advisory_locks(connection) == 0
        lost = [tile for tile in tiles.keys() - pending.keys() if tile not in state.rows]
        fault_tally.add(
            kind, 1, lost=len(lost) + len(state.lost), torn=len(state.torn), leaked=len(state.leaked)
        )
        state.assert_whole()
        assert opened.files_missing == 0
        assert state.rows in (tiles, after(pending, tiles))
        tiles = dict(state.rows)
        until(lambda: processes_in(root) == [], "processes stay")
