"""The address of a database: a valid DSN, and the parts of it that may be shown."""

from __future__ import annotations

import contextlib
import math
import os
import time
import weakref
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from ...domain.errors import ConfigurationError, StoreUnavailableError
from ..config.secret import has_ambiguous_password
from .errors import describe

MIN_SERVER_VERSION = 140_000
"""PostgreSQL 14, as libpq counts versions."""
ENCODINGS = ("UTF8", "SQL_ASCII")
"""Encodings of databases that hold every text: SQL_ASCII stores bytes as they are, and they are UTF-8 here.

In any other, a sector's name or a provider's answer may have a character that the database can't store, which
would come to light in the middle of a mission.
"""
# A host that vanished silently is detected after about 15 s; with the system's own settings it takes hours.
# These apply to TCP only; a DSN may set others.
_KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


T = TypeVar("T")


class ServerSilentError(psycopg.OperationalError):
    """The server has sent nothing for longer than any statement may take."""

    def __init__(self, patience_s: float) -> None:
        super().__init__(f"the server has said nothing for {patience_s:g} s")


class Lender:
    """What lends connections, and counts on their return."""

    is_damaged = False
    """Whether a signal's handler raised in the middle of a step, or a lent connection will never return."""


class Connection(psycopg.Connection[TupleRow]):
    """A connection with its client-side state. In a forked child it is cut: nothing reaches the server."""

    lender: Lender | None = None
    """None: it is not lent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _open_connections.add(self)
        self.prepared: dict[str, bytes] = {}
        """The names of the statements that `pipeline` has prepared, by their text."""
        self.answered_at = time.monotonic()
        """The monotonic time of the server's last answer."""
        self.patience_s: float | None = None
        """How long a wait lasts while the server sends nothing; None: for ever.

        A server that is stopped, or blocked by its disk, does not even run its own statement timeout, and TCP
        does not detect it. After this time the connection is closed and `ServerSilentError` raised.
        """

    def __del__(self, *warn: Any) -> None:
        # A garbage collection may run this on any thread, within any step of the pool.
        if self.lender is not None:
            self.lender.is_damaged = True
        super().__del__(*warn)

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        """See `psycopg.Connection`, but bounded by `patience_s`."""
        if self.patience_s is None:
            return super().wait(gen, *args, **options)
        try:
            return super().wait(_bounded(gen, self.patience_s), *args, **options)
        except ServerSilentError:
            self.close()
            raise


_open_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _cut_connections_of_the_parent() -> None:
    # A forked child has the parent's sockets. Whatever it sent, a ROLLBACK by leaving a context or the
    # goodbye of a closed connection, would end the parent's work.
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for connection in list(_open_connections):
        with contextlib.suppress(psycopg.Error, OSError):  # closed already
            os.dup2(nowhere, connection.fileno(), inheritable=False)
    os.close(nowhere)


os.register_at_fork(after_in_child=_cut_connections_of_the_parent)


class DatabaseAddress:
    """A valid DSN; `str` gives the parts of it that may be shown."""

    def __init__(self, dsn: str) -> None:
        try:
            parts = conninfo_to_dict(dsn)
        except (psycopg.Error, UnicodeEncodeError):
            # The driver's error quotes the invalid part, which may be the password.
            raise ConfigurationError(
                "the database DSN can't be read (it is not shown: it may hold a password)",
                remedy="use postgresql://user:password@host:port/database with special characters "
                "percent-encoded, or 'host=... dbname=...'",
            ) from None
        if has_ambiguous_password(dsn):
            # The rest of the password would be shown as the name of a host or of a database.
            raise ConfigurationError(
                "the database DSN can be read in two ways: the password, or the database's name, holds "
                "an @ or a / as it is (it is not shown)",
                remedy="write an @ there as %40 and a / as %2F",
            )
        self.dsn = dsn
        self._keepalive = {name: value for name, value in _KEEPALIVE.items() if name not in parts}
        self._password = str(parts.get("password") or "")
        host = parts.get("host") or parts.get("hostaddr") or "the default host"
        port = f":{parts['port']}" if parts.get("port") else ""
        self._shown = f"database {parts.get('dbname') or 'of the default name'} at {host}{port}"

    def __str__(self) -> str:
        return self._shown

    def parameters(self, connect_timeout_s: float) -> dict[str, Any]:
        """The parameters of every connection besides the DSN."""
        return {
            **self._keepalive,
            "autocommit": True,
            # Neither the DSN, nor PGCLIENTENCODING, nor the database decides how text travels.
            "client_encoding": "UTF8",
            # The driver must not prepare statements: after a ROLLBACK it would drop those of `pipeline` too.
            "prepare_threshold": None,
            "connect_timeout": max(1, math.ceil(connect_timeout_s)),
        }

    def connect(self, connect_timeout_s: float) -> Connection:
        """Connect once. Raises `StoreUnavailableError`, also for a database that can't be used."""
        try:
            connection = Connection.connect(self.dsn, **self.parameters(connect_timeout_s))
        except psycopg.Error as error:
            raise self.unavailable(error) from error
        if unfit := self.refuse_unfit(connection):
            connection.close()
            raise unfit
        return connection

    def refuse_unfit(self, connection: psycopg.Connection[Any]) -> StoreUnavailableError | None:
        """Why the database at the other end can't be used, or None. Costs no round trip."""
        version = connection.info.server_version
        if version < MIN_SERVER_VERSION:
            return StoreUnavailableError(
                f"{self} is PostgreSQL {version // 10_000}; "
                f"Aerotile needs {MIN_SERVER_VERSION // 10_000} or newer",
                remedy="use a newer server, or leave the DSN out to use the embedded one",
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in ENCODINGS:
            return StoreUnavailableError(
                f"{self} has the encoding {encoding}, which lacks characters that names and answers may have",
                remedy="create a database with ENCODING 'UTF8' TEMPLATE template0, and set the DSN to it",
            )
        return None

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


def _bounded(gen: PQGen[T], patience_s: float) -> PQGen[T]:
    """The driver's steps of an answer. Raises `ServerSilentError` after too long a silence."""
    received_at = time.monotonic()
    try:
        awaited = next(gen)
        while True:
            ready = yield awaited  # falsy every tenth of a second while nothing arrives
            if ready:
                received_at = time.monotonic()
            elif time.monotonic() - received_at > patience_s:
                raise ServerSilentError(patience_s)
            awaited = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result
