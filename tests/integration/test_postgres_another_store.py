"""Another store's database at the address of the one that a process opened: nothing is written to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.values.tiles import TileMetadata

if TYPE_CHECKING:
    from conftest import PostgresServer

PATIENCE_S = 60.0
MakeTile = Callable[..., tuple[bytes, TileMetadata]]


class Exchange:
    """Two databases that change their names."""

    def __init__(self, administrator: psycopg.Connection[Any], one: str, other: str) -> None:
        self.administrator, self.one, self.other = administrator, one, other

    def __call__(self) -> None:
        """Have each name lead to the other database, and end the sessions of both."""
        for name in (self.one, self.other):
            self.administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        # A session that began before may end a moment after it is told to.
        for before, after in ((self.one, "aside"), (self.other, self.one), ("aside", self.other)):
            deadline = time.monotonic() + PATIENCE_S
            while True:
                self.administrator.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (before,)
                )
                try:
                    self.administrator.execute(f"ALTER DATABASE {before} RENAME TO {after}")
                except psycopg.errors.ObjectInUse:
                    assert time.monotonic() < deadline
                else:
                    break
        for name in (self.one, self.other):
            self.administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.fixture
def other_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of another store's database."""
    name = postgres_server.create_database()
    apply_migrations(postgres_server.dsn_of(name))
    yield postgres_server.dsn_of(name)
    postgres_server.drop_database(name)


@pytest.fixture
def exchange(postgres_server: PostgresServer, empty_database: str, other_database: str) -> Iterator[Exchange]:
    apply_migrations(empty_database)
    names = [str(conninfo_to_dict(dsn)["dbname"]) for dsn in (empty_database, other_database)]
    with psycopg.connect(postgres_server.dsn, autocommit=True) as administrator:
        yield Exchange(administrator, *names)


def rows_in(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM tiles").fetchall()
    return int(count)


def until_it_succeeds(call: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            call()
        except StoreUnavailableError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_an_open_store_writes_to_no_other_stores_database_and_reads_on(
    exchange: Exchange,
    empty_database: str,
    other_database: str,
    tmp_path: Path,
    onboard_tile: MakeTile,
) -> None:
    config = AerotileConfig(
        root=tmp_path / "ours", database=DatabaseConfig(dsn=Secret(empty_database), connect_timeout_s=5.0)
    )
    before, meanwhile, after = (onboard_tile(x) for x in (1, 2, 3))
    with Runtime(config) as runtime:
        store = runtime.tile_store
        store.write_tile(*before)
        exchange()
        with pytest.raises(StoreUnavailableError, match="is another database now: of store") as refused:
            store.write_tile(*meanwhile)
        assert "bring the database of this store back" in (refused.value.remedy or "")
        assert rows_in(empty_database) == 0
        with pytest.raises(StoreUnavailableError):
            store.reload()
        assert store.read_tile_bytes(before[1].tile_id) == before[0]
        exchange()
        until_it_succeeds(lambda: store.write_tile(*after))
    assert rows_in(empty_database) == 2
    with Runtime(config) as runtime:
        assert runtime.tile_store.opened.orphans_removed == 0
        assert runtime.tile_store.read_tile_bytes(after[1].tile_id) == after[0]


def test_an_emptied_database_is_not_the_stores(
    exchange: Exchange, empty_database: str, other_database: str
) -> None:
    with psycopg.connect(other_database) as connection:
        connection.execute("DROP TABLE disk_usage CASCADE")
    with Database(empty_database, connect_timeout_s=5.0) as database:
        database.fetch_all("asking", "SELECT 1")
        exchange()
        with pytest.raises(StoreUnavailableError, match="of no store"):
            database.fetch_all("asking", "SELECT 1")


def test_a_database_that_is_migrated_meanwhile_becomes_a_stores(empty_database: str) -> None:
    with Database(empty_database) as database:
        with pytest.raises(StoreUnavailableError, match="migrat"):
            database.fetch_all("asking", "SELECT count(*) FROM tiles")
        apply_migrations(empty_database)
        assert database.fetch_all("asking", "SELECT count(*) FROM tiles") == [(0,)]
