"""A store that was opened before a fork: what each call does in the child, and that its parent goes on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from embedded_servers import server_processes
from store_facts import Audit
from store_sessions import wait_until_nobody_is_connected

PROGRAM = Path(__file__).with_name("forked_store.py")
PAGE = Path(__file__).parents[3] / "docs" / "threads-and-processes.md"
IN_A_CHILD = dict(
    re.findall(
        r"^\| (`\w+`(?: of `\w+`)?) \| [^|]+ \| (goes on|refused)[^|]* \|$", PAGE.read_text("utf-8"), re.M
    )
)
"""What each call does in a forked child, by the page of threads and processes."""
Run = Callable[[str], list[dict[str, str]]]


@pytest.fixture
def run(tmp_path: Path, migrated_database: str) -> Run:
    """Run the program with one pattern; the lines that its processes printed."""

    def run(pattern: str) -> list[dict[str, str]]:
        printed = lines_of(pattern, tmp_path, migrated_database)
        wait_until_nobody_is_connected(migrated_database)
        with psycopg.connect(migrated_database) as connection:
            Audit.of(connection, tmp_path / "tiles").assert_whole()
        return printed

    return run


def lines_of(pattern: str, root: Path, dsn: str) -> list[dict[str, str]]:
    finished = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", PROGRAM, pattern, root, dsn],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def assert_refused(outcomes: dict[str, str]) -> None:
    """Whether the child's calls went on, or were refused with the remedy, as the page of forks says."""
    refusal = re.compile(r"ForkedProcessError: opened before a fork, by process \d+: build it again")
    seen = {
        name: "goes on" if outcome == "works" else "refused" if refusal.fullmatch(outcome) else outcome
        for name, outcome in outcomes.items()
    }
    assert seen == IN_A_CHILD


@pytest.mark.parametrize("pattern", ["fork", "fork_and_exit", "multiprocessing_fork"])
def test_a_child_is_refused_at_once_and_its_end_disturbs_nobody(run: Run, pattern: str) -> None:
    child, parent = run(pattern)
    assert_refused(child)
    assert parent == {"sessions": True, "own": "works"}


def test_children_forked_while_other_threads_write_never_hang(run: Run) -> None:
    *children, parent = run("fork_beside_writers")
    assert len(children) == 5
    for child in children:
        assert_refused(child)
    assert parent == {"sessions": True, "own": "works"}


@pytest.mark.parametrize("pattern", ["fork_and_build_again", "daemon"])
def test_a_child_that_builds_again_has_a_store_of_its_own(run: Run, pattern: str) -> None:
    child, parent = run(pattern)
    assert_refused(child)
    assert parent == {"sessions": True, "own": "works"}


def test_workers_forked_from_a_master_with_a_store_build_their_own(run: Run) -> None:
    *workers, master = run("prefork")
    assert len(workers) == 3
    for worker in workers:
        assert_refused(worker)
    assert master == {"sessions": True, "own": "works"}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_new_interpreter_is_refused_the_store_itself_and_opens_its_own(run: Run, method: str) -> None:
    pickled, child, parent = run(f"multiprocessing_{method}")
    assert len(pickled) == 4
    assert set(pickled.values()) == {
        "TypeError: what a factory of aerotile opened is not pickled: call the factory in the other process"
    }
    assert child == {"own": "works"}
    assert parent == {"sessions": True, "own": "works"}


@pytest.mark.parametrize("pattern", ["fork_and_exit", "fork_and_build_again"])
def test_a_childs_exit_leaves_its_parents_embedded_server_running(tmp_path: Path, pattern: str) -> None:
    child, parent = lines_of(pattern, tmp_path, "")
    assert_refused(child)
    assert parent == {"sessions": True, "own": "works"}
    assert not server_processes(tmp_path / "postgres")
