"""A signal's handler that raises at any point of a call: later calls, the data and the exit are as ever.

TEST_INTERRUPTS sets how many calls are interrupted (default 300).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from random_seed import random_of
from store_facts import Audit
from store_sessions import wait_until_nobody_is_connected

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig

pytestmark = pytest.mark.faults

WORKER = Path(__file__).with_name("interrupted_worker.py")
INTERRUPTS = os.environ.get("TEST_INTERRUPTS", "300")
HANGS_S = 240


def test_interrupts_at_random_points_break_nothing(tmp_path: Path, migrated_database: str) -> None:
    seed = str(random_of("interrupted calls").randrange(1 << 32))
    finished = subprocess.run(
        [sys.executable, WORKER, tmp_path, migrated_database, seed, INTERRUPTS],
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )
    assert finished.returncode == 0, finished.stderr
    told = json.loads(finished.stdout)
    assert told["left"] == {"threads": 0, "reserved": [0, 0], "changing": 0}, finished.stderr
    assert told["interrupted"].keys() >= {"write", "write_many", "read", "close"}
    wait_until_nobody_is_connected(migrated_database)
    config = AerotileConfig(root=tmp_path, database=DatabaseConfig(dsn=Secret(migrated_database)))
    with Runtime(config) as runtime:  # removes what an interrupted write left behind
        assert len(runtime.tile_store) >= len(told["confirmed"])
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        audit = Audit.of(connection, tmp_path / "tiles")
    audit.assert_whole()
    assert audit.rows.items() >= told["confirmed"].items()
