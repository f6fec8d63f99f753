"""Reading the catalogue by COPY from a server that is slow, stuck, gone, or holds what it should not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import psycopg
import pytest
from waiting import until

from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.postgres import bulk_copy
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.errors import StoreUnavailableError, TileMetadataError
from aerotile.domain.values.catalogue_entries import CatalogueColumns
from aerotile.domain.values.tile_key import decode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource

NOW = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)
ROWS = 400

# Every row takes the server 0.2 s, so that all are never sent before somebody ends that.
SLOW_TILES = """
    ALTER TABLE tiles RENAME TO quick_tiles;
    CREATE VIEW tiles AS SELECT quick_tiles.* FROM quick_tiles, LATERAL pg_sleep(0.2 + 0 * id)
"""
QUICK_TILES = "DROP VIEW tiles; ALTER TABLE quick_tiles RENAME TO tiles"
# Each row five times, 1 ms each: 2 s for all of them, longer than a statement may take below. What the server
# sends at a time takes a twentieth of that, far less than the limit, on a busy machine too.
SLOW_TILES_SENT_OFTEN = """
    ALTER TABLE tiles RENAME TO quick_tiles;
    CREATE VIEW tiles AS
        SELECT quick_tiles.* FROM quick_tiles, generate_series(1, 5) AS time,
            LATERAL pg_sleep(0.001 + 0 * id + 0 * time)
"""


@pytest.fixture
def administrator(migrated_database: str) -> Iterator[psycopg.Connection]:
    """Somebody else at the database, which holds some tiles."""
    with Database(migrated_database) as database:
        metadata = [
            example_metadata(TileId(12, x, 0, TileSource.IMPORTED), b"a" * 10, captured_at=NOW)
            for x in range(ROWS)
        ]
        with PostgresTileRows(database).insert_many(metadata, NOW) as rows:
            rows.commit()
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        yield connection


def test_a_copy_that_goes_on_may_take_longer_than_a_statement(
    administrator: psycopg.Connection, migrated_database: str
) -> None:
    administrator.execute(SLOW_TILES_SENT_OFTEN)
    with Database(migrated_database, statement_timeout_s=1.2, max_size=1) as database:
        assert len(PostgresTileRows(database).catalogue()[0]) == 5 * ROWS
        assert database.fetch_all("reading the setting", "SHOW statement_timeout") == [("1200ms",)]


def test_a_copy_that_stands_still_is_given_up_and_leaves_a_pool_that_works(
    administrator: psycopg.Connection, migrated_database: str
) -> None:
    with Database(migrated_database, statement_timeout_s=0.3, max_size=1) as database:
        rows = PostgresTileRows(database)
        with administrator.transaction():
            administrator.execute("LOCK TABLE tiles IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(StoreUnavailableError, match=r"nothing came for 0\.3 s") as refused:
                rows.catalogue()
            assert "statement_timeout_s" in (refused.value.remedy or "")
            waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'tiles'::regclass AND NOT granted"
            # The server ends the statement in its own time.
            until(lambda: administrator.execute(waiting).fetchone() == (0,))
        database.statement_timeout_s = 30.0  # a busy machine is no standstill
        assert len(rows.catalogue()[0]) == ROWS


@pytest.fixture(params=["in compiled code", "by the driver"])
def rows_taken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of taking rows: some drivers hide their libpq."""
    if request.param == "by the driver":
        monkeypatch.setattr(bulk_copy, "driver_libpq", lambda: None)


@pytest.mark.usefixtures("rows_taken")
def test_more_rows_than_are_read_at_once_come_whole(
    administrator: psycopg.Connection, migrated_database: str
) -> None:
    times = 100  # some megabytes
    administrator.execute("ALTER TABLE tiles RENAME TO few_tiles")
    administrator.execute(
        f"CREATE VIEW tiles AS SELECT few_tiles.* FROM few_tiles, generate_series(1, {times})"
    )
    with Database(migrated_database) as database:
        columns, variants = PostgresTileRows(database).catalogue()
    places = [decode_tile_key(int(key), variants).x for key in columns.keys]
    assert sorted(places) == [x for x in range(ROWS) for _ in range(times)]


@pytest.mark.usefixtures("rows_taken")
def test_a_server_that_ends_the_session_in_the_middle_is_unavailable_and_found_again(
    administrator: psycopg.Connection, migrated_database: str
) -> None:
    administrator.execute(SLOW_TILES)
    with Database(migrated_database, max_size=1) as database, ThreadPoolExecutor(1) as threads:
        rows = PostgresTileRows(database)
        reading = threads.submit(rows.catalogue)
        copying = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE '%COPY%' AND pid <> pg_backend_pid()
        """
        while not administrator.execute(copying).fetchone():
            assert not reading.done()
        with pytest.raises(StoreUnavailableError, match="reading the catalogue failed"):
            reading.result()
        administrator.execute(QUICK_TILES)
        assert len(rows.catalogue()[0]) == ROWS


@pytest.mark.parametrize(
    ("constraint", "change", "reason"),
    [
        ("ck_tiles_content_sha256", "content_sha256 = 'abc'", "hexadecimal"),
        ("ck_tiles_disk_bytes", "disk_bytes = -1", "disk_bytes is -1"),
        ("ck_tiles_place", "y = 4096", "off the grid"),
        ("ck_tiles_voting_status", "voting_status = 'maybe'", "voting_status is 'maybe'"),
        ("ck_tiles_source", "source = 'elsewhere'", "source and its flight"),
        (None, "captured_at = 'infinity'", "no moment"),
        (None, "accessed_at = '-infinity'", "no moment"),
        (None, "captured_at = '20000-01-01'", "no moment"),
    ],
)
def test_an_impossible_row_is_named_and_the_connection_is_not_kept(
    administrator: psycopg.Connection,
    migrated_database: str,
    constraint: str | None,
    change: str,
    reason: str,
) -> None:
    if constraint is not None:
        administrator.execute(f"ALTER TABLE tiles DROP CONSTRAINT {constraint}")
    administrator.execute(f"UPDATE tiles SET {change} WHERE x = 7")
    with Database(migrated_database, max_size=1) as database:
        rows = PostgresTileRows(database)
        with pytest.raises(TileMetadataError, match=rf"impossible row for tile \w+/12/7/\d+: .*{reason}"):
            rows.catalogue()
        administrator.execute("DELETE FROM tiles WHERE x = 7")
        assert len(rows.catalogue()[0]) == ROWS - 1


def test_a_text_too_long_for_any_row_is_refused(
    administrator: psycopg.Connection, migrated_database: str
) -> None:
    administrator.execute("ALTER TABLE tiles DROP CONSTRAINT ck_tiles_voting_status")
    administrator.execute("UPDATE tiles SET voting_status = repeat('maybe', 20000) WHERE x = 7")
    with Database(migrated_database) as database, pytest.raises(StoreUnavailableError, match="100000 bytes"):
        PostgresTileRows(database).catalogue()


def test_a_database_without_migrations_says_so(empty_database: str) -> None:
    with Database(empty_database) as database, pytest.raises(StoreUnavailableError) as refused:
        PostgresTileRows(database).catalogue()
    assert "aerotile migrate" in (refused.value.remedy or "")


def test_many_threads_read_the_catalogue_at_once(
    administrator: psycopg.Connection, migrated_database: str
) -> None:
    start = threading.Barrier(4)

    def read() -> CatalogueColumns:
        start.wait()
        return rows.catalogue()[0]

    with Database(migrated_database, max_size=4) as database, ThreadPoolExecutor(4) as threads:
        rows = PostgresTileRows(database)
        reads = [threads.submit(read) for _ in range(4)]
        assert [len(reading.result()) for reading in reads] == [ROWS] * 4
