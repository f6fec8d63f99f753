"""A pool of connections that answer.

Every connection is in autocommit: a caller that needs a transaction opens one. The pool reconnects to a
server that comes back; until then each call waits a bounded time and raises `StoreUnavailableError`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from ...domain.errors import CommitOutcomeUnknownError, StoreUnavailableError
from ...ext import is_readable
from ..own_process import OwnProcess
from .address import Connection, DatabaseAddress
from .errors import describe, is_connection_lost, translate_errors, translated
from .own_pool import DriverPool, OwnPool
from .queries import SELECT_STORE_ID

RETRY_S = 1.0
"""How long the pool repeats a failed attempt to connect. Short: the next caller starts a new attempt at once,
while the pool's own pauses would grow to minutes."""
TRUSTED_S = 1.0
"""How long after an answer a connection counts as alive, unless its server has sent something since."""
GONE_WAIT_S = 1.5
"""How long a call waits when the last attempt to connect failed: enough for one more attempt."""

# Settings of every session: results in UTC and in the styles that the driver reads, numbers without loss,
# durable commits, and counters that see the commits of other sessions. Defaults of the server, of the role or
# of the environment (PGDATESTYLE, PGOPTIONS) must not weaken them.
_SESSION = """
    SELECT
        set_config('TimeZone', 'UTC', false),
        set_config('DateStyle', 'ISO', false),
        set_config('IntervalStyle', 'postgres', false),
        set_config('extra_float_digits', '1', false),
        set_config('array_nulls', 'on', false),
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

# The pool and the driver warn about every connection that a restarting server drops. Callers learn it from
# StoreUnavailableError; a program that wants the warnings too sets another level.
for _name in ("psycopg", "psycopg.pool"):
    _driver_logger = logging.getLogger(_name)
    if _driver_logger.level in (logging.NOTSET, logging.WARNING):  # WARNING is what the driver sets
        _driver_logger.setLevel(logging.ERROR)


def _check(connection: Connection, patience_s: float) -> None:
    """Raise the driver's error unless the server answers in time. Costs a round trip only after a pause.

    A server that ends a session, or its system, says so: then the socket is readable. A server that
    vanishes silently is detected by this check after the pause, or else by the next statement.
    """
    if is_readable(connection.fileno()) or time.monotonic() - connection.answered_at > TRUSTED_S:
        usual, connection.patience_s = connection.patience_s, patience_s
        ConnectionPool.check_connection(connection)
        connection.patience_s = usual


class Database:
    """Connections to one database, shared by any number of threads.

    Opens without waiting: a missing database is no error until the first call. `connect_timeout_s` bounds how
    long a call waits for a connection, `statement_timeout_s` how long the server works on one statement. A
    server that sends nothing for longer than the sum of both counts as gone. Raises `ConfigurationError` for
    an unreadable DSN. In a child that was forked since, every call raises `ForkedProcessError`, and `close`
    does nothing. Where the DSN leads to another store's database after a reconnection, every call raises
    `StoreUnavailableError`: what is committed there belongs to other files.
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
        self._process = OwnProcess()
        self.address = DatabaseAddress(dsn)
        self.connect_timeout_s = connect_timeout_s
        self.statement_timeout_s = statement_timeout_s
        self._statement_timeout = f"{max(1, round(statement_timeout_s * 1000))}ms"
        self._max_size = max_size
        self._failure: BaseException | None = None
        self._store: str | None = None
        """Whose database this is, as a message says it, once a session found it."""
        self._backends: set[int] = set()
        """The server's processes of the sessions that were made here, ended ones included."""
        connection_class = self._connection_class()
        self._pool = OwnPool(
            lambda: DriverPool(
                dsn,
                connection_class=connection_class,
                kwargs=self.address.parameters(connect_timeout_s),
                min_size=min_size,
                max_size=max_size,
                configure=self._configure,
                reconnect_timeout=RETRY_S,
                open=False,
            )
        )

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        if self._process.is_current:
            self._pool.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def connect_once(self) -> Connection:
        """A connection outside the pool, which the caller closes. Raises `StoreUnavailableError`."""
        self._process.check()
        connection = self.address.connect(self.connect_timeout_s)
        with translate_errors(f"setting up a session on {self.address}"):
            self._configure(connection)
        return connection

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Borrow a connection that answers. Raises `StoreUnavailableError` when there is none in time."""
        connection = self.take()
        try:
            yield connection
        finally:
            self.give_back(connection)

    def take(self) -> Connection:
        """A connection that answers, for `give_back`; raises as `connection` does."""
        self._process.check()
        wait_s = self.connect_timeout_s if self._failure is None else min(self.connect_timeout_s, GONE_WAIT_S)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                connection = self._pool.lend(max(0.0, deadline - time.monotonic()))
            except PoolClosed as error:
                raise StoreUnavailableError(
                    f"this program has closed its connections to {self.address}",
                    remedy="call the factory again, for instance build_tile_store(config)",
                ) from error
            except PoolTimeout as error:
                raise self._no_connection() from (self._failure or error)
            except psycopg.Error as error:
                raise translated(error, f"taking a connection to {self.address}") from error
            try:
                _check(connection, self.connect_timeout_s)
            except psycopg.Error as error:
                # What a restarted server left behind: the pool makes a new one of it.
                self._failure = error
                connection.close()
                self._pool.give_back(connection)
            else:
                self._failure = None
                return connection

    def give_back(self, connection: Connection) -> None:
        """Return a connection from `take` to the pool, which replaces it when it is closed."""
        if not self._process.is_current:
            return  # the pool's locks may be held by threads that a forked child does not have
        connection.answered_at = time.monotonic()
        self._pool.give_back(connection)

    @contextmanager
    def session(self, doing: str) -> Iterator[Connection]:
        """`connection` with errors as `translate_errors` has them."""
        with self.connection() as connection, translate_errors(doing):
            yield connection

    def fetch_all(self, doing: str, query: str, parameters: Any = None) -> list[TupleRow]:
        """Run one statement on its own and return its rows; errors as in `session`."""
        with self.session(doing) as connection:
            return connection.execute(query, parameters).fetchall()

    def change(self, doing: str, query: str, parameters: Any = None) -> list[TupleRow]:
        """Run one idempotent statement and return its rows; errors as in `session`.

        When the connection is lost, the statement is run again on another connection. Raises
        `CommitOutcomeUnknownError` when the second run fails too.
        """
        with self.connection() as connection:
            try:
                return connection.execute(query, parameters).fetchall()
            except psycopg.Error as error:
                if not is_connection_lost(error, connection):
                    raise translated(error, doing) from error
                lost = error
        try:
            return self.fetch_all(doing, query, parameters)
        except StoreUnavailableError as error:
            raise CommitOutcomeUnknownError(
                f"{doing}: the connection was lost: {describe(lost)}; whether it was done can't be known yet",
                remedy="do it again when the database answers: twice does no harm",
            ) from error

    @property
    def failure(self) -> str | None:
        """Why the last attempt to reach the server failed; None: it did not."""
        return None if self._failure is None else describe(self._failure)

    def ask_again(self) -> None:
        """After a failure, ask whether the server answers again. Raises `StoreUnavailableError`."""
        if self._failure is not None:
            self.give_back(self.take())

    def owns(self, backends: Collection[int]) -> bool:
        """Whether the server's processes with these ids all serve, or have served, this object."""
        return self._backends.issuperset(backends)

    def _no_connection(self) -> StoreUnavailableError:
        if self._failure is None and self._pool.driver.get_stats()["pool_size"] >= self._max_size:
            return StoreUnavailableError(
                f"all {self._max_size} connections to {self.address} are busy",
                remedy="raise database.pool_max_size, or write with fewer threads",
            )
        return self.address.unavailable(self._failure)

    def _configure(self, connection: Connection) -> None:
        connection.patience_s = self.statement_timeout_s + self.connect_timeout_s
        connection.execute(_SESSION, (self._statement_timeout,))
        self._refuse_another_store(connection)
        self._backends.add(connection.pgconn.backend_pid)

    def _refuse_another_store(self, connection: Connection) -> None:
        """Close a connection that leads to another store's database, and raise `StoreUnavailableError`."""
        try:
            row = connection.execute(SELECT_STORE_ID).fetchone()
        except psycopg.errors.ProgrammingError:  # an empty database, or one before its migration
            if self._store is None:
                return
            found = "of no store"
        else:
            if row is None:  # its use says what is wrong, and what to do
                return
            found = f"of store {row[0]}"
        if self._store is None:
            self._store = found
        if found == self._store:
            return
        connection.close()
        self._failure = StoreUnavailableError(
            f"{self.address} is another database now: {found}; this program opened that {self._store}",
            remedy="bring the database of this store back to that address; the other one was left alone",
        )
        raise self._failure

    def _connection_class(self) -> type[Connection]:
        """A connection class that stores why connecting failed: the pool itself only reports a timeout."""
        database = self

        class NotedConnection(Connection):
            @classmethod
            def connect(cls, conninfo: str = "", **parameters: Any) -> Any:
                try:
                    connection = super().connect(conninfo, **parameters)
                except psycopg.Error as error:
                    database._failure = error
                    raise
                if unfit := database.address.refuse_unfit(connection):
                    connection.close()
                    database._failure = unfit
                    raise unfit
                return connection

        return NotedConnection
