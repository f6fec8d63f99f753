"""Where a database is: a DSN that can be read, and what of it may be shown."""

from __future__ import annotations

import math
import time
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
# How soon a host that vanished without a word is noticed: after about 15 s, where the system's own settings
# mean hours. Only TCP has these; a DSN may set others.
_KEEPALIVE = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


T = TypeVar("T")


class ServerSilentError(psycopg.OperationalError):
    """The server has said nothing for longer than it may take for anything."""

    def __init__(self, patience_s: float) -> None:
        super().__init__(f"the server has said nothing for {patience_s:g} s")


class Connection(psycopg.Connection[TupleRow]):
    """A connection, and what this side remembers of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: dict[str, bytes] = {}
        """The names of the statements that `round_trip` has prepared, by their text."""
        self.answered_at = time.monotonic()
        """When the server was last known to answer."""
        self.patience_s: float | None = None
        """How long the server may say nothing while it is waited for; None: for ever.

        A server that is stopped, or hangs with its disk, answers neither us nor its own clock, and nothing
        in TCP notices it. Behind that time the connection is closed and `ServerSilentError` raised.
        """

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        """See `psycopg.Connection`, but no longer than the server may say nothing."""
        if self.patience_s is None:
            return super().wait(gen, *args, **options)
        try:
            return super().wait(_bounded(gen, self.patience_s), *args, **options)
        except ServerSilentError:
            self.close()
            raise


class DatabaseAddress:
    """A DSN that can be read, and what of it may be shown."""

    def __init__(self, dsn: str) -> None:
        try:
            parts = conninfo_to_dict(dsn)
        except (psycopg.Error, UnicodeEncodeError):
            # The driver quotes the part that it stumbles over, which may be the password.
            raise ConfigurationError(
                "the database DSN can't be read (it is not shown: it may hold a password)",
                remedy="use postgresql://user:password@host:port/database with special characters "
                "percent-encoded, or 'host=... dbname=...'",
            ) from None
        if has_ambiguous_password(dsn):
            # What is left of the password would be shown as the name of a host or of a database.
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
        self._place = f"database {parts.get('dbname') or 'of the default name'} at {host}{port}"

    def __str__(self) -> str:
        return self._place

    def parameters(self, connect_timeout_s: float) -> dict[str, Any]:
        """What every connection is made with, besides the DSN."""
        return {
            **self._keepalive,
            "autocommit": True,
            # The driver would prepare statements too, and after a ROLLBACK drop ours along with its own.
            "prepare_threshold": None,
            "connect_timeout": max(1, math.ceil(connect_timeout_s)),
        }

    def connect(self, connect_timeout_s: float) -> Connection:
        """Connect once. Raises `StoreUnavailableError`, also for a server that is too old."""
        try:
            connection = Connection.connect(self.dsn, **self.parameters(connect_timeout_s))
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


def _bounded(gen: PQGen[T], patience_s: float) -> PQGen[T]:
    """The driver's steps of an answer, ended when the server says nothing for too long."""
    heard_at = time.monotonic()
    try:
        awaited = next(gen)
        while True:
            ready = yield awaited  # every tenth of a second it comes back with nothing
            if ready:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > patience_s:
                raise ServerSilentError(patience_s)
            awaited = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result
