"""Migrations beside other runners, failing statements, and databases of another revision."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from old_databases import (
    HEAD,
    REVISIONS,
    execute,
    fill,
    revision_of,
    select,
    tables,
    upgrade_without_the_runner,
)

from aerotile.adapters.postgres import migrate
from aerotile.adapters.postgres.advisory_locks import MIGRATION_LOCK
from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.adapters.postgres.revision import check_revision
from aerotile.domain.errors import ConfigurationError, StoreUnavailableError


@contextmanager
def migration_lock_held(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s, %s)", MIGRATION_LOCK)
        yield holder


def test_of_runners_at_once_one_migrates_and_the_others_find_it_done(empty_database: str) -> None:
    program = (
        "import sys; from aerotile.adapters.postgres.migrate import apply_migrations; "
        "print(','.join(apply_migrations(sys.stdin.read()).applied))"
    )
    runners = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    with migration_lock_held(empty_database) as holder:
        for runner in runners:
            assert runner.stdin is not None
            runner.stdin.write(empty_database)
            runner.stdin.close()
            runner.stdin = None
        waiting = 0
        while waiting < len(runners):  # pytest's timeout ends a wait in vain
            row = holder.execute(
                """
                SELECT count(*) FROM pg_locks
                WHERE locktype = 'advisory' AND NOT granted
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                """
            ).fetchone()
            assert row is not None
            waiting = row[0]
    outputs = sorted(runner.communicate()[0].strip() for runner in runners)
    assert outputs == ["", "", "", ",".join(REVISIONS)]
    assert [runner.returncode for runner in runners] == [0] * 4


def test_a_runner_that_does_not_end_is_named_and_waited_for_no_longer(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "RUNNER_TIMEOUT_S", 1)
    with migration_lock_held(empty_database) as holder:
        holder.execute("SET application_name = 'of a test'")
        with pytest.raises(StoreUnavailableError, match="and did not end within 1 s") as refusal:
            apply_migrations(empty_database)
        pid, user = holder.info.backend_pid, holder.info.user
    assert f"(backend {pid}, user {user}, program of a test" in str(refusal.value)
    assert refusal.value.remedy == f"wait for it, or end it with SELECT pg_terminate_backend({pid})"
    assert "\n" not in str(refusal.value)
    assert tables(empty_database) == {}
    assert apply_migrations(empty_database).applied == tuple(REVISIONS)


def test_another_thread_that_does_not_end_is_waited_for_no_longer_than_another_program(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "RUNNER_TIMEOUT_S", 0.05)
    refused: list[BaseException] = []

    def run() -> None:
        try:
            apply_migrations(empty_database)
        except StoreUnavailableError as error:
            refused.append(error)

    other = threading.Thread(target=run, daemon=True)
    with migrate._one_at_a_time:
        other.start()
        other.join(60)
        assert not other.is_alive()
    assert "another thread of this process is migrating, and did not end within" in str(refused[0])
    assert tables(empty_database) == {}
    assert apply_migrations(empty_database).applied == tuple(REVISIONS)


FAILING_TRIGGER = (
    "CREATE SEQUENCE tries",
    """
    CREATE FUNCTION fail_first() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('tries') <= TG_ARGV[0]::int THEN
            RAISE EXCEPTION 'another transaction was first' USING ERRCODE = '40001';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER fail_first AFTER UPDATE ON tiles
    FOR EACH STATEMENT EXECUTE FUNCTION fail_first('{times}')
    """,
)


def make_updates_of_tiles_fail(dsn: str, times: int) -> None:
    """The first `times` updates of `tiles` end in a serialization failure; a sequence survives rollbacks."""
    execute(dsn, *(statement.replace("{times}", str(times)) for statement in FAILING_TRIGGER))


def test_a_serialization_failure_is_tried_once_more(empty_database: str) -> None:
    fill(empty_database, "0001")
    make_updates_of_tiles_fail(empty_database, times=1)
    assert apply_migrations(empty_database).applied == REVISIONS[1:]
    assert select(empty_database, "SELECT count(tile_uuid) FROM tiles") == [{"count": 4}]


def test_a_second_serialization_failure_is_the_end_and_nothing_changes(empty_database: str) -> None:
    fill(empty_database, "0001")
    make_updates_of_tiles_fail(empty_database, times=2)
    before = select(empty_database, "SELECT * FROM tiles ORDER BY id")
    with pytest.raises(StoreUnavailableError, match="another transaction was first"):
        apply_migrations(empty_database)
    assert revision_of(empty_database) == "0001"
    assert select(empty_database, "SELECT * FROM tiles ORDER BY id") == before


def test_a_database_that_is_newer_than_the_program_is_refused_on_one_line(migrated_database: str) -> None:
    execute(migrated_database, "UPDATE alembic_version SET version_num = '0099'")
    before = tables(migrated_database)
    for use in (apply_migrations, check_revision):
        with pytest.raises(StoreUnavailableError, match="revision 0099, which is newer") as refused:
            use(migrated_database)
        assert "\n" not in str(refused.value)
        assert "newer" in (refused.value.remedy or "")
    assert tables(migrated_database) == before


@pytest.mark.parametrize("revision", [None, "0003"])
def test_a_database_that_lacks_a_migration_is_told_to_migrate(
    empty_database: str, revision: str | None
) -> None:
    if revision is not None:
        upgrade_without_the_runner(empty_database, revision)
    with pytest.raises(StoreUnavailableError, match=f"at revision {revision or 'none'}") as refused:
        check_revision(empty_database)
    assert "aerotile migrate" in (refused.value.remedy or "")


def test_a_run_says_what_it_did_and_leaves_logging_as_it_was(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with caplog.at_level(logging.INFO, logger="aerotile"):
        apply_migrations(empty_database)
        apply_migrations(empty_database)
    assert [record.name for record in caplog.records] == ["aerotile.migrate"] * 2
    assert caplog.messages[0].startswith(f"applied {', '.join(REVISIONS)}; database aerotile_test_")
    assert caplog.messages[1].startswith("nothing to do; database aerotile_test_")
    assert all(message.endswith(f"is at revision {HEAD}") for message in caplog.messages)
    assert (root.level, list(root.handlers)) == before
    assert not logging.getLogger("aerotile").disabled


def test_a_server_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(StoreUnavailableError) as refused:
        apply_migrations("postgresql://pilot:s3cr3tword@127.0.0.1:1/tiles")
    assert str(refused.value).startswith("database tiles at 127.0.0.1:1 does not answer: ")
    assert "\n" not in str(refused.value)
    assert "s3cr3tword" not in str(refused.value)
    with pytest.raises(ConfigurationError):
        apply_migrations("postgresql://pilot:s3cr3t%word@127.0.0.1/tiles")
