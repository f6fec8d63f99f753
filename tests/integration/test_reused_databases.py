"""What a test leaves in its database never reaches the next test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from reused_databases import ReusedDatabases

TABLES = "tiles", "datasets", "disk_usage", "tile_freshness_rules", "alembic_version"


@pytest.fixture
def databases(postgres_server: Any, _migrated_template: str) -> Iterator[ReusedDatabases]:
    databases = ReusedDatabases(postgres_server, _migrated_template)
    yield databases
    databases.close()


def rows_of(databases: ReusedDatabases, name: str) -> list[Any]:
    with psycopg.connect(databases.server.dsn_of(name)) as connection:
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]


def oid_of(databases: ReusedDatabases, name: str) -> int:
    with psycopg.connect(databases.server.dsn) as connection:
        (oid,) = (
            connection.execute("SELECT oid FROM pg_database WHERE datname = %s", (name,)).fetchone() or ()
        )
    return int(oid)


@pytest.mark.parametrize(
    "change",
    [
        "SELECT 1",
        "UPDATE disk_usage SET total_bytes = 7",
        "DELETE FROM tile_freshness_rules",
        "TRUNCATE alembic_version",
        "SELECT nextval('tiles_id_seq')",
    ],
)
def test_rows_and_sequences_are_put_back(databases: ReusedDatabases, change: str) -> None:
    name = databases.take()
    before, oid = rows_of(databases, name), oid_of(databases, name)
    with psycopg.connect(databases.server.dsn_of(name), autocommit=True) as connection:
        connection.execute(change)
        databases.give_back(name)  # beside a session that is still open
    again = databases.take()
    assert (oid_of(databases, again), rows_of(databases, again)) == (oid, before)
    assert again != name
    with psycopg.connect(databases.server.dsn_of(again)) as connection:
        assert connection.execute("SELECT nextval('tiles_id_seq')").fetchone() == (1,)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more ()",
        "DROP TABLE uploads",
        "ALTER TABLE tiles ALTER pinned SET DEFAULT true",
        "CREATE INDEX ON tiles (captured_at)",
        "ALTER TABLE tiles DISABLE TRIGGER ALL",
        "COMMENT ON TABLE tiles IS 'of a test'",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO pg_monitor', current_database()); END $$",
        "ANALYZE tile_freshness_rules",
    ],
)
def test_a_database_of_another_shape_is_dropped(databases: ReusedDatabases, change: str) -> None:
    name = databases.take()
    oid = oid_of(databases, name)
    with psycopg.connect(databases.server.dsn_of(name), autocommit=True) as connection:
        connection.execute(change)
    databases.give_back(name)
    assert oid_of(databases, databases.take()) != oid


def test_a_database_that_a_test_drops_is_not_missed(databases: ReusedDatabases) -> None:
    name = databases.take()
    databases.server.drop_database(name)
    databases.give_back(name)
    assert rows_of(databases, databases.take())[0] == []
