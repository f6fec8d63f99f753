"""The way to the database: a pool of connections, and the one place where the driver's errors end.

Every connection is in autocommit: what needs a transaction says so. A server that was gone is found again
without help; until then each call waits a bounded time and raises `StoreUnavailableError`.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from ...domain.errors import ConfigurationError, StoreUnavailableError, TileMetadataError

MIN_SERVER_VERSION = 140_000
"""PostgreSQL 14, as libpq counts versions."""
RETRY_S = 1.0
"""How long the pool goes on with one failed attempt to connect. Short: the next caller starts a new one at
once, while the pool's own pauses would have grown to minutes."""
GONE_WAIT_S = 1.5
"""How long a call waits when the last attempt to connect failed: enough for one more."""

_CONNECTION_LOST = ("08", "57P")
"""SQLSTATE classes of a connection that broke, and of a server that is shutting down or starting."""
# How soon a host that vanished without a word is noticed: after about 15 s, where the system's own settings
# mean hours. Only TCP has these; a DSN may set others.
_KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

# One answer for all of a session: results in UTC, a commit that is on the disk, and counters that see what
# others committed meanwhile. What the server or the role sets as defaults must not weaken these.
_SESSION = """
    SELECT
        set_config('TimeZone', 'UTC', false),
        set_config('statement_timeout', %s, false),
        set_config('default_transaction_isolation', 'read committed', false),
        set_config(
            'synchronous_commit',
            CASE current_setting('synchronous_commit')
                WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit')
            END,
            false
        )
"""

# The pool and the driver warn about every connection that a restarting server drops. Callers are told by
# StoreUnavailableError; a program that wants the warnings too sets another level itself.
for _name in ("psycopg", "psycopg.pool"):
    _driver_logger = logging.getLogger(_name)
    if _driver_logger.level in (logging.NOTSET, logging.WARNING):  # WARNING is what the driver sets
        _driver_logger.setLevel(logging.ERROR)

Connection = psycopg.Connection[TupleRow]


@contextmanager
def translate_errors(doing: str) -> Iterator[None]:
    """Turn every error of the driver into one of the domain's; `doing` ends up in its message.

    A value that the database refuses is `TileMetadataError`; everything else means that the database can't
    do its work and is `StoreUnavailableError`.
    """
    try:
        yield
    except psycopg.Error as error:
        raise translated(error, doing) from error


def translated(error: psycopg.Error, doing: str) -> TileMetadataError | StoreUnavailableError:
    """The domain's error for one of the driver's, to be raised from it."""
    message = f"{doing} failed: {describe(error)}"
    if isinstance(error, (psycopg.IntegrityError, psycopg.DataError)):
        return TileMetadataError(message)
    return StoreUnavailableError(message, remedy=_remedy(error))


def _remedy(error: psycopg.Error) -> str | None:
    if isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)):
        return "the database lacks a migration; run `aerotile migrate` on it"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "give the role the right to create and use tables in this database"
    if isinstance(error, psycopg.errors.QueryCanceled):
        return "raise database.statement_timeout_s, or look for what keeps the database busy"
    if error.sqlstate is None or error.sqlstate.startswith(_CONNECTION_LOST):
        return "check that the database is running and reachable"
    return None


def describe(error: BaseException) -> str:
    """What the driver says, on one line."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    return " ".join(str(error).split()) or type(error).__name__


class DatabaseAddress:
    """A DSN that can be read, and what of it may be shown."""

    def __init__(self, dsn: str) -> None:
        try:
            parts = conninfo_to_dict(dsn)
        except psycopg.Error:
            # The driver quotes the part that it stumbles over, which may be the password.
            raise ConfigurationError(
                "the database DSN can't be read (it is not shown: it may hold a password)",
                remedy="use postgresql://user:password@host:port/database with special characters "
                "percent-encoded, or 'host=... dbname=...'",
            ) from None
        if "@" in str(parts.get("host", "")):
            raise ConfigurationError(
                "the database DSN names a host with an @ in it",
                remedy="write an @ in the password as %40",
            )
        self.dsn = dsn
        self._keepalive = {name: value for name, value in _KEEPALIVE.items() if name not in parts}
        self._password = str(parts.get("password") or "")
        host = parts.get("host") or parts.get("hostaddr") or "the default host"
        port = f":{parts['port']}" if parts.get("port") else ""
        self._place = f"database {parts.get('dbname') or 'of the default name'} at {host}{port}"

    def __str__(self) -> str:
        return self._place

    def parameters(self, connect_timeout_s: float) -> dict[str, Any]:
        """What every connection is made with, besides the DSN."""
        return {
            **self._keepalive,
            "autocommit": True,
            "connect_timeout": max(1, math.ceil(connect_timeout_s)),
        }

    def connect(self, connect_timeout_s: float) -> Connection:
        """Connect once. Raises `StoreUnavailableError`, also for a server that is too old."""
        try:
            connection = psycopg.connect(self.dsn, **self.parameters(connect_timeout_s))
        except psycopg.Error as error:
            raise self.unavailable(error) from error
        if too_old := self.refuse_old_server(connection):
            connection.close()
            raise too_old
        return connection

    def refuse_old_server(self, connection: psycopg.Connection[Any]) -> StoreUnavailableError | None:
        """Why the server at the other end can't be used, or None."""
        version = connection.info.server_version
        if version >= MIN_SERVER_VERSION:
            return None
        return StoreUnavailableError(
            f"{self} is PostgreSQL {version // 10_000}; "
            f"Aerotile needs {MIN_SERVER_VERSION // 10_000} or newer",
            remedy="use a newer server, or leave the DSN out to use the embedded one",
        )

    def unavailable(self, error: BaseException | None) -> StoreUnavailableError:
        """The domain's error for a server that can't be reached."""
        if isinstance(error, StoreUnavailableError):
            return StoreUnavailableError(str(error), remedy=error.remedy)
        reason = describe(error) if error is not None else "no answer in time"
        if self._password:
            reason = reason.replace(self._password, "***")
        return StoreUnavailableError(
            f"{self} does not answer: {reason}", remedy="check the DSN, and that the server is running"
        )


class Database:
    """Connections to one database, shared by any number of threads.

    Opens without waiting: a database that is not there yet is no error until something is asked of it.
    `connect_timeout_s` bounds how long a call waits for a connection, `statement_timeout_s` how long the
    server may work on one statement. Raises `ConfigurationError` for a DSN that can't be read.
    """

    def __init__(
        self,
        dsn: str,
        *,
        min_size: int = 1,
        max_size: int = 8,
        connect_timeout_s: float = 5.0,
        statement_timeout_s: float = 30.0,
    ) -> None:
        self.address = DatabaseAddress(dsn)
        self.connect_timeout_s = connect_timeout_s
        self._statement_timeout = f"{max(1, round(statement_timeout_s * 1000))}ms"
        self._max_size = max_size
        self._failure: BaseException | None = None
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            dsn,
            connection_class=self._connection_class(),
            kwargs=self.address.parameters(connect_timeout_s),
            min_size=min_size,
            max_size=max_size,
            configure=self._configure,
            reconnect_timeout=RETRY_S,
            open=False,
        )
        self._pool.open(wait=False)

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        self._pool.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def verify(self) -> None:
        """Connect once, outside the pool, to learn at once and in words why the database can't be used.

        Raises `StoreUnavailableError` within the connect timeout.
        """
        self.connect_once().close()

    def connect_once(self) -> Connection:
        """A connection of the caller's own, outside the pool. Raises `StoreUnavailableError`."""
        connection = self.address.connect(self.connect_timeout_s)
        with translate_errors(f"setting up a session on {self.address}"):
            self._configure(connection)
        return connection

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Borrow a connection that answers. Raises `StoreUnavailableError` when there is none in time."""
        connection = self._answering_connection()
        try:
            yield connection
        finally:
            self._pool.putconn(connection)

    def fetch_all(self, doing: str, query: str, parameters: Any = None) -> list[TupleRow]:
        """Run one statement on its own and return its rows; errors as `translate_errors` has them."""
        with self.connection() as connection, translate_errors(doing):
            return connection.execute(query, parameters).fetchall()

    def _answering_connection(self) -> Connection:
        wait_s = self.connect_timeout_s if self._failure is None else min(self.connect_timeout_s, GONE_WAIT_S)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                connection = self._pool.getconn(timeout=max(0.0, deadline - time.monotonic()))
            except PoolTimeout as error:
                raise self._no_connection() from (self._failure or error)
            except psycopg.Error as error:
                raise translated(error, f"taking a connection to {self.address}") from error
            try:
                ConnectionPool.check_connection(connection)
            except psycopg.Error as error:
                # What a restarted server left behind: the pool makes a new one of it.
                self._failure = error
                connection.close()
                self._pool.putconn(connection)
            else:
                self._failure = None
                return connection

    def _no_connection(self) -> StoreUnavailableError:
        if self._failure is None and self._pool.get_stats()["pool_size"] >= self._max_size:
            return StoreUnavailableError(
                f"all {self._max_size} connections to {self.address} are busy",
                remedy="raise database.pool_max_size, or write with fewer threads",
            )
        return self.address.unavailable(self._failure)

    def _configure(self, connection: Connection) -> None:
        connection.execute(_SESSION, (self._statement_timeout,))

    def _connection_class(self) -> type[Connection]:
        """A connection class that notes why connecting failed: the pool itself only reports a timeout."""
        database = self

        class NotedConnection(psycopg.Connection[TupleRow]):
            @classmethod
            def connect(cls, conninfo: str = "", **parameters: Any) -> Any:
                try:
                    connection = super().connect(conninfo, **parameters)
                except psycopg.Error as error:
                    database._failure = error
                    raise
                if too_old := database.address.refuse_old_server(connection):
                    connection.close()
                    database._failure = too_old
                    raise too_old
                return connection

        return NotedConnection
