"""The way to the database: what is said when it can't be used, and how it is found again."""

from __future__ import annotations

import itertools
import queue
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import psycopg
import psycopg_pool
import pytest
from interrupts import interrupt_at, interrupted_once
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool.pool import WaitingClient
from reserved_ports import reserved_port
from waiting import until

from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.postgres import own_pool
from aerotile.adapters.postgres.address import Connection, DatabaseAddress
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.errors import ConfigurationError, StoreUnavailableError
from aerotile.domain.values.tiles import TileId, TileSource

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
METADATA = example_metadata(TileId(3, 1, 2, TileSource.IMPORTED), b"a" * 10, captured_at=NOW)
PASSWORD = "s3cr3tword"


def said(error: BaseException) -> str:
    """Everything that a person could come to see of an error, causes included."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts += [str(cause), repr(cause), str(getattr(cause, "remedy", ""))]
        cause = cause.__cause__
    return "\n".join(texts)


@pytest.fixture
def listener() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Start a server that treats each connection as given, and return its DSN."""
    listening = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []

    def serve(treat: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            accepted.append(connection)
            treat(connection)

    def start(treat: Callable[[socket.socket], None]) -> str:
        threading.Thread(target=serve, args=(treat,), daemon=True).start()
        return f"postgresql://pilot:{PASSWORD}@127.0.0.1:{listening.getsockname()[1]}/tiles?sslmode=disable"

    yield start
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for connection in accepted:
        connection.close()


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://pilot:{PASSWORD}%zz@example.org/tiles",
        f"postgresql://pilot:{PASSWORD} more@example.org/tiles",
        f"host=example.org passwort={PASSWORD}",
        f"postgresql://pilot:x@{PASSWORD}@example.org/tiles",
        f"postgresql://pilot:{PASSWORD}/more@example.org/tiles",
        f"postgresql://pilot:x/{PASSWORD}@example.org/tiles",
        f"postgresql://pilot:x@y/{PASSWORD}@example.org/tiles",
        PASSWORD,
    ],
)
def test_a_dsn_that_cannot_be_read_is_refused_without_being_shown(dsn: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Database(dsn)
    assert PASSWORD not in said(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://pilot:p%40ss%2Fword@127.0.0.1:1/tiles",
        "postgresql://pilot:pa?ss@127.0.0.1:1/tiles",
        "postgresql://127.0.0.1:1/tiles?user=pilot@north&password=a/b@c",
        "host=127.0.0.1 port=1 dbname=tiles user=pilot@north password=p@ss/word",
    ],
)
def test_a_dsn_that_can_be_read_in_one_way_only_is_taken(dsn: str) -> None:
    assert str(DatabaseAddress(dsn)) == "database tiles at 127.0.0.1:1"


@pytest.fixture
def refused_port() -> Iterator[int]:
    """A port on which nobody listens."""
    reserved, port = reserved_port()
    with reserved:
        yield port


def errors_of(calls: Sequence[Callable[[], object]]) -> list[StoreUnavailableError]:
    """How each call fails; beside each other, because each of them waits as long as it may."""
    with ThreadPoolExecutor(len(calls)) as threads:
        errors = [call.exception() for call in [threads.submit(call) for call in calls]]
    unavailable = [error for error in errors if isinstance(error, StoreUnavailableError)]
    assert len(unavailable) == len(calls), errors
    return unavailable


def test_a_server_that_is_not_there_is_told_at_once_and_on_every_call_without_the_password(
    refused_port: int,
) -> None:
    port = refused_port
    with Database(f"postgresql://pilot:{PASSWORD}@127.0.0.1:{port}/tiles", connect_timeout_s=2.0) as database:
        store = PostgresTileMetadataStore(database)
        calls: list[Callable[[], object]] = [
            database.connect_once,
            store.total_disk_bytes,
            lambda: store.get_by_id(METADATA.tile_id),
            lambda: list(PostgresTileRows(database).committed()),
            lambda: store.insert_metadata(METADATA),
        ]
        for refused in errors_of(calls):
            message = str(refused)
            assert message.startswith(f"database tiles at 127.0.0.1:{port} does not answer: ")
            assert "Connection refused" in message
            assert "\n" not in message
            assert PASSWORD not in said(refused)


def test_a_server_that_accepts_and_says_nothing_is_given_up(
    listener: Callable[[Callable[[socket.socket], None]], str],
) -> None:
    dsn = listener(lambda connection: None)
    with Database(dsn, connect_timeout_s=2.0) as database:
        for refused in errors_of(
            [database.connect_once, PostgresTileMetadataStore(database).total_disk_bytes]
        ):
            assert re.search(r"does not answer: .*(timeout|in time)", str(refused))
            assert PASSWORD not in said(refused)


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def test_a_server_older_than_14_is_refused_by_version(
    listener: Callable[[Callable[[socket.socket], None]], str],
) -> None:
    def greet_as_13(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(
            message(b"R", struct.pack("!i", 0))
            + message(b"S", b"server_version\x0013.9\x00")
            + message(b"Z", b"I")
        )

    with Database(listener(greet_as_13), connect_timeout_s=2.0) as database:
        for ask in (database.connect_once, PostgresTileMetadataStore(database).total_disk_bytes):
            with pytest.raises(StoreUnavailableError, match="is PostgreSQL 13; Aerotile needs 14 or newer"):
                ask()


def test_a_missing_database_is_named(empty_database: str) -> None:
    dsn = make_conninfo(empty_database, dbname="no_such_database")
    with Database(dsn) as database, pytest.raises(StoreUnavailableError) as refused:
        database.connect_once()
    assert 'database "no_such_database" does not exist' in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_database_without_tables_is_told_to_migrate(empty_database: str) -> None:
    with Database(empty_database) as database:
        with pytest.raises(StoreUnavailableError) as refused:
            PostgresTileMetadataStore(database).total_disk_bytes()
        assert "aerotile migrate" in (refused.value.remedy or "")


def answers(database: Database) -> bool:
    try:
        return database.fetch_all("asking", "SELECT 1") == [(1,)]
    except StoreUnavailableError:
        return False


def test_a_database_that_is_not_there_yet_is_used_once_it_is(empty_database: str) -> None:
    name = str(conninfo_to_dict(empty_database)["dbname"])
    with psycopg.connect(make_conninfo(empty_database, dbname="postgres"), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} RENAME TO {name}_away")
        with Database(empty_database, connect_timeout_s=2.0) as database:
            with pytest.raises(StoreUnavailableError, match="does not exist"):
                database.fetch_all("asking", "SELECT 1")
            admin.execute(f"ALTER DATABASE {name}_away RENAME TO {name}")
            until(lambda: answers(database))  # the pool may be waiting for an attempt that failed just before
            assert database.fetch_all("asking", "SELECT 1") == [(1,)]


def test_connections_that_the_server_ended_are_replaced_without_an_error(migrated_database: str) -> None:
    with Database(migrated_database, min_size=4, max_size=4) as database:
        store = PostgresTileMetadataStore(database)
        with ThreadPoolExecutor(4) as pool:
            for _ in range(3):
                assert list(pool.map(lambda _: store.total_disk_bytes(), range(16))) == [0] * 16
                end_every_other_session(migrated_database)


def end_every_other_session(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            """
            SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
            """
        )


def test_people_are_not_shown_the_drivers_own_warnings(
    migrated_database: str,
    refused_port: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Database(migrated_database, min_size=2) as database:
        store = PostgresTileMetadataStore(database)
        store.total_disk_bytes()
        end_every_other_session(migrated_database)
        store.total_disk_bytes()
    with (
        Database(f"host=127.0.0.1 port={refused_port}", connect_timeout_s=2.0) as gone,
        pytest.raises(StoreUnavailableError),
    ):
        gone.fetch_all("asking", "SELECT 1")
    assert [record for record in caplog.records if record.name.startswith("psycopg")] == []
    assert capfd.readouterr() == ("", "")


def test_when_every_connection_is_busy_that_is_what_is_said(migrated_database: str) -> None:
    with Database(migrated_database, max_size=1) as database:
        store = PostgresTileMetadataStore(database)
        with database.connection():
            patience_s, database.connect_timeout_s = database.connect_timeout_s, 0.3
            with pytest.raises(StoreUnavailableError, match=r"all 1 connections .* busy"):
                store.total_disk_bytes()
        database.connect_timeout_s = patience_s
        assert store.total_disk_bytes() == 0


def test_calls_that_are_interrupted_while_they_wait_for_a_connection_use_none_up(
    migrated_database: str,
) -> None:
    with Database(migrated_database, max_size=1) as database:
        store = PostgresTileMetadataStore(database)

        def is_waiting() -> bool:
            return database._pool.driver.get_stats().get("requests_waiting", 0) > 0

        for _ in range(2):
            with database.connection(), interrupted_once(is_waiting), pytest.raises(KeyboardInterrupt):
                store.total_disk_bytes()
            assert store.total_disk_bytes() == 0


def test_a_connection_whose_borrower_was_interrupted_is_replaced(migrated_database: str) -> None:
    with Database(migrated_database, max_size=1) as database:
        database.take()  # and never given back
        assert PostgresTileMetadataStore(database).total_disk_bytes() == 0


def test_an_interrupt_while_the_pool_grows_uses_no_connection_up(
    migrated_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(task: object) -> None:
        raise KeyboardInterrupt

    with Database(migrated_database, min_size=0, max_size=1) as database:
        with monkeypatch.context() as patched:
            patched.setattr(database._pool.driver, "run_task", interrupt)
            with pytest.raises(KeyboardInterrupt):
                database.take()
        assert PostgresTileMetadataStore(database).total_disk_bytes() == 0


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupt_is_raised_though_a_lock_of_the_pool_was_released_twice(
    migrated_database: str, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    def get_connection(timeout: float) -> Connection:
        client: WaitingClient[Connection] = WaitingClient()

        def wait(timeout: float) -> bool:
            client._cond.release()
            raise interrupt

        monkeypatch.setattr(client._cond, "wait", wait)
        return client.wait(timeout)

    with Database(migrated_database) as database:
        with monkeypatch.context() as patched:
            patched.setattr(database._pool.driver, "getconn", get_connection)
            with pytest.raises(interrupt):
                database.take()
        assert database.fetch_all("asking", "SELECT 1") == [(1,)]


def test_an_interrupt_at_any_step_of_lending_leaves_the_pool_to_other_threads(migrated_database: str) -> None:
    files = (Path(psycopg_pool.__file__).parent, Path(own_pool.__file__), threading.__file__, queue.__file__)
    within = tuple(map(str, files))

    of_others = threading.enumerate()

    def borrow(pool: own_pool.OwnPool) -> None:
        pool.give_back(pool.lend(60.0))

    def left() -> list[str]:
        """The driver's threads that were not there before."""
        names = [thread.name for thread in threading.enumerate() if thread not in of_others]
        return [name for name in names if name.startswith("pool-")]

    for step in itertools.count(1):
        with (
            ThreadPoolExecutor(1) as threads,
            Database(migrated_database, min_size=0, max_size=1) as database,
        ):
            is_over = not interrupt_at(step, partial(borrow, database._pool), within=within)
            asked = threads.submit(database.fetch_all, "asking", "SELECT 1")
            until(asked.done)
            assert asked.result() == [(1,)]
        if is_over:
            break
    assert step > 30
    until(lambda: not left())


def test_calls_that_wait_for_a_pool_that_is_replaced_wait_for_its_successor(migrated_database: str) -> None:
    with Database(migrated_database, max_size=1) as database, ThreadPoolExecutor(1) as threads:
        before = database._pool.driver
        with database.connection():
            waiting = threads.submit(database.fetch_all, "asking", "SELECT 1")
            until(lambda: before.get_stats().get("requests_waiting", 0) > 0)
            before.is_damaged = True
            with database.connection():
                assert database._pool.driver is not before
        assert waiting.result() == [(1,)]


def test_a_damaged_pool_that_holds_its_lock_for_ever_is_left_behind(
    migrated_database: str,
) -> None:
    database = Database(migrated_database)
    damaged = database._pool.driver
    has_ended, is_held = threading.Event(), threading.Event()

    def hold() -> None:
        with damaged._lock:
            is_held.set()
            has_ended.wait()

    with ThreadPoolExecutor(1) as threads:
        try:
            threads.submit(hold)
            is_held.wait()
            damaged.is_damaged = True
            assert database.fetch_all("asking", "SELECT 1") == [(1,)]
            database.close()
        finally:
            has_ended.set()


def test_a_closed_database_says_so(migrated_database: str) -> None:
    database = Database(migrated_database)
    database.close()
    database.close()
    with pytest.raises(StoreUnavailableError, match="this program has closed its connections to") as refused:
        PostgresTileMetadataStore(database).total_disk_bytes()
    assert refused.value.remedy == "call the factory again, for instance build_tile_store(config)"
