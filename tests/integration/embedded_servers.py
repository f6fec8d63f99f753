"""Looking at an embedded server from outside, and other processes that use it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from waiting import until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")


# Starts the server of the folder in argv[1], prints its DSN, and stops when a line or the end comes in.
HOLDER = """
import sys
from pathlib import Path
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.start(), flush=True)
sys.stdin.readline()
server.stop()
print("stopped", flush=True)
"""


def server_processes(data_folder: Path) -> set[int]:
    """The pids of all living processes of the folder's server: each works in the cluster folder."""
    pids = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == data_folder / "cluster":
                pids.add(int(process.name))
    return pids


def postmaster(data_folder: Path) -> int:
    """The pid of the server's first process, from PostgreSQL's own pid file."""
    return int((data_folder / "cluster" / "postmaster.pid").read_text().split("\n")[0])


def ask(dsn: str, query: str) -> Any:
    """The first value that a query answers."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def run(dsn: str, statement: str) -> None:
    """Run a statement and commit it."""
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)


@contextlib.contextmanager
def holder(data_folder: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server; `before` is put in front of its command line."""
    with subprocess.Popen(
        [*before, sys.executable, "-c", HOLDER, str(data_folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def dsn_of(process: subprocess.Popen[str]) -> str:
    """What a holder prints once its server answers."""
    assert process.stdout is not None
    dsn = process.stdout.readline().strip()
    assert dsn, "the process ended without a DSN"
    return dsn


def leave(process: subprocess.Popen[str]) -> None:
    """Have a holder stop using the server, and wait until it has."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "stopped\n"
    assert process.wait() == 0


def kill_server(data_folder: Path) -> None:
    """Kill every process of the folder's server."""
    for pid in server_processes(data_folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not server_processes(data_folder))
