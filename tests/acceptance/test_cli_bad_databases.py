"""Databases that can't be used, one line each as a person sees it, and no password in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call

from aerotile.adapters.cli.session import Session

PASSWORD = "hunter2-very-secret"


@pytest.mark.parametrize("command", ["status", "migrate", "dump", "verify"])
def test_a_dsn_that_does_not_answer(call: Call, command: str) -> None:
    dsn = f"postgresql://nav:{PASSWORD}@127.0.0.1:1/tiles"
    result = call(command, AEROTILE_DATABASE_DSN=dsn)
    assert result.code == JOB_FAILED
    assert result.err.count("\n") == 1
    assert "database tiles at 127.0.0.1:1 does not answer" in result.err
    assert PASSWORD not in result.out + result.err


def test_a_dsn_that_does_not_answer_shows_no_password_in_a_traceback_or_log(call: Call) -> None:
    dsn = f"postgresql://nav:{PASSWORD}@127.0.0.1:1/tiles"
    result = call("migrate", "--debug", "-vv", AEROTILE_DATABASE_DSN=dsn)
    assert "Traceback" in result.err
    assert PASSWORD not in result.out + result.err


def test_a_password_that_turns_up_elsewhere_is_taken_out_of_errors_tracebacks_and_logs(
    call: Call, capfd: pytest.CaptureFixture[str]
) -> None:
    dsn = f"postgresql://nav:{PASSWORD}@127.0.0.1:1/tiles"
    result = call("status", "--debug", "--root", f"no-{PASSWORD}-here", AEROTILE_DATABASE_DSN=dsn)
    assert result.err.splitlines()[-1].startswith("error: no folder ")
    assert "Traceback" in result.err
    assert "no-***-here" in result.err
    assert PASSWORD not in result.err
    session = Session()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AEROTILE_DATABASE_DSN", dsn)
        assert session.config.database.dsn is not None
    session.configure_logging()
    logging.getLogger("aerotile.test").warning("connecting to %s\nwith %s", dsn, PASSWORD)
    logged = capfd.readouterr().err
    assert logged.count("\n") == 1
    assert logged.endswith(" connecting to postgresql://nav:***@127.0.0.1:1/tiles with ***\n")


def test_a_dsn_that_can_not_be_read(call: Call) -> None:
    result = call("migrate", AEROTILE_DATABASE_DSN=PASSWORD)
    assert result.code == BAD_CALL
    assert result.error.startswith("database.dsn must be a postgresql:// URL or keyword=value pairs")
    assert PASSWORD not in result.err


@pytest.mark.parametrize("command", ["migrate", "dump"])
def test_a_database_that_is_newer_than_the_code(call: Call, migrated_database: str, command: str) -> None:
    import psycopg

    with psycopg.connect(migrated_database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    result = call(command)
    assert result.code == JOB_FAILED
    assert "is at revision 9999, which is newer than this program" in result.error


def test_a_database_that_other_tiles_belong_to_is_not_taken_for_an_empty_store(
    call: Call,
    xyz_folder: Callable[..., Path],
    days_ago: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    xyz_folder()
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).code == 0
    owner = Path("aerotile-data/tiles/.aerotile-store")
    owner.chmod(0o600)
    owner.write_text(f"{UUID(int=7)}\n")
    for command in ("dump", "uploads", "datasets list", "sectors list"):
        refused = call(*command.split())
        assert (refused.code, "belong to another database" in refused.error) == (JOB_FAILED, True)
    monkeypatch.delenv("AEROTILE_DATABASE_DSN")
    for command in ("migrate", f"ingest tiles --captured-at {days_ago(1)}"):
        refused = call(*command.split())
        assert (refused.code, "belong to a database, and none is" in refused.error) == (JOB_FAILED, True)
    assert not Path("aerotile-data/postgres").exists()


def test_a_database_that_was_not_migrated(call: Call, empty_database: str) -> None:
    result = call("dump", AEROTILE_DATABASE_DSN=empty_database)
    assert result.code == JOB_FAILED
    assert "aerotile migrate" in result.error
