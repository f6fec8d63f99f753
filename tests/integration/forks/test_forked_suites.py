"""A suite that runs each test in a forked child, in the manner of pytest-forked, over one store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
from store_facts import Audit
from store_sessions import wait_until_nobody_is_connected

HERE = Path(__file__).parent


def test_children_of_a_test_runner_leave_its_store_alone(tmp_path: Path, migrated_database: str) -> None:
    suite = tmp_path / "suite.py"
    shutil.copy(HERE / "forked_suite.py", suite)  # away from the conftest.py of these tests
    finished = subprocess.run(
        [
            *(sys.executable, "-W", "ignore::DeprecationWarning", "-m", "pytest", "-p", "fork_each_test"),
            *("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path, "-rA", suite),
        ],
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": os.pathsep.join(map(str, (HERE, HERE.parent, HERE.parents[1]))),
            "FORKED_SUITE_ROOT": str(tmp_path / "root"),
            "FORKED_SUITE_DSN": migrated_database,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    reported = [line for line in finished.stdout.splitlines() if line.startswith(("PASSED", "FAILED"))]
    failed = [line.split("::")[1].split()[0] for line in reported if line.startswith("FAILED")]
    assert (len(reported), failed) == (9, ["test_a_child_that_is_killed_amid_its_work"]), finished.stdout
    wait_until_nobody_is_connected(migrated_database)
    with psycopg.connect(migrated_database) as connection:
        Audit.of(connection, tmp_path / "root" / "tiles").assert_whole()
