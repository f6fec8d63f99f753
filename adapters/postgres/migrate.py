"""Bring a database to the newest revision, one runner at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import attrs
import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ...domain.errors import CommitOutcomeUnknownError, StoreUnavailableError
from .address import DatabaseAddress
from .advisory_locks import MIGRATION_LOCK
from .errors import translated
from .revision import CONNECT_TIMEOUT_S, read_revision

_log = logging.getLogger("aerotile.migrate")

# Alembic logs its own steps at INFO; this module logs each applied revision once.
_alembic_logger = logging.getLogger("alembic")
if _alembic_logger.level == logging.NOTSET:
    _alembic_logger.setLevel(logging.WARNING)

SCRIPTS = "aerotile:migrations"
TABLE_LOCK_TIMEOUT = "60s"
"""How long a migration waits for programs that use the tables, before it gives up and changes nothing."""
RUNNER_TIMEOUT_S = 600
"""How long a runner waits for another one to finish, before it gives up and changes nothing."""
SERIALIZATION_FAILURE = "40001"
_RUNNER = """
    SELECT holder.pid, holder.usename, holder.application_name, host(holder.client_addr)
    FROM pg_locks JOIN pg_stat_activity AS holder USING (pid)
    WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
SET_TIMEOUTS = "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)"

_one_at_a_time = threading.Lock()
"""Alembic keeps the running migration in module globals, so threads of one process take turns."""


@attrs.frozen
class MigrationReport:
    """The result of a run."""

    before: str | None
    """The revision before the run; None for an empty database."""
    after: str
    """The revision that the database has now."""
    applied: tuple[str, ...]
    """Revisions applied, in order; empty when there was nothing to do."""


def apply_migrations(dsn: str) -> MigrationReport:
    """Upgrade to the newest revision, all steps in one transaction; when this raises, nothing has changed.

    Waits for other runners, at most `RUNNER_TIMEOUT_S`, and retries once after a serialization failure.
    Raises `StoreUnavailableError` (no answer; another runner that does not end; a database that is newer, or
    another program's), `TileMetadataError` (rows that no migration can convert) and `ConfigurationError` for
    an unreadable DSN. After `CommitOutcomeUnknownError` either all
    steps were applied or none; a second call applies the rest.
    """
    with _migrating(dsn) as run:
        before = run.revision()
        try:
            run.upgrade()
        except DBAPIError as error:
            if _sqlstate(error) != SERIALIZATION_FAILURE:
                raise
            _log.warning("migration was interrupted by another transaction (40001), trying once more")
            run.upgrade()
        applied = tuple(run.steps)
        after = run.revision()
    if after is None:
        raise StoreUnavailableError(f"{run.address} has no revision after migrating it")
    if applied:
        _log.info("applied %s; %s is at revision %s", ", ".join(applied), run.address, after)
    else:
        _log.info("nothing to do; %s is at revision %s", run.address, after)
    return MigrationReport(before=before, after=after, applied=applied)


@attrs.define
class _Run:
    """Alembic on one connection."""

    address: DatabaseAddress
    connection: Connection
    steps: list[str] = attrs.field(factory=list)
    commit_begun: bool = False
    config: Config = attrs.field(factory=Config)

    def __attrs_post_init__(self) -> None:
        self.config.set_main_option("script_location", SCRIPTS)
        self.config.set_main_option("path_separator", "os")
        self.config.attributes["connection"] = self.connection
        self.config.attributes["on_version_apply"] = self._note_step

    def _note_step(self, *, step: Any, **_: Any) -> None:
        self.steps.append(step.up_revision_id)

    def note_commit(self, _: Connection) -> None:
        self.commit_begun = True

    def revision(self) -> str | None:
        """See `read_revision`."""
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        return read_revision(driver, self.address)

    def upgrade(self) -> None:
        self.steps.clear()
        try:
            command.upgrade(self.config, "head")
            self.connection.commit()
        except BaseException:
            self.connection.rollback()
            raise


@contextmanager
def _migrating(dsn: str) -> Iterator[_Run]:
    """A connection that holds the migration lock until it is closed."""
    address = DatabaseAddress(dsn)
    with _turn(address), _connected(address, "migrating") as connection:
        # Defaults of the role must not cut the wait or the work short.
        connection.exec_driver_sql(SET_TIMEOUTS, ("0", "0"))
        (free,) = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s, %s)", MIGRATION_LOCK).one()
        if not free:
            _log.info("waiting for another program to finish migrating %s", address)
            _await_runner(connection, address)
        connection.exec_driver_sql(SET_TIMEOUTS, ("0", TABLE_LOCK_TIMEOUT))
        connection.commit()
        run = _Run(address, connection)
        event.listen(connection, "commit", run.note_commit)
        try:
            yield run
        except (DBAPIError, psycopg.Error) as error:
            if not run.commit_begun or not _is_connection_lost(error):
                raise
            raise CommitOutcomeUnknownError(
                f"migrating {address}: the connection was lost during the commit or behind it; all of it was "
                "done, or nothing",
                remedy="run `aerotile migrate` again: it goes on from what it finds",
            ) from error


@contextmanager
def _turn(address: DatabaseAddress) -> Iterator[None]:
    """Wait for other threads of this process as for other programs. Raises `StoreUnavailableError`."""
    if not _one_at_a_time.acquire(timeout=RUNNER_TIMEOUT_S):
        raise StoreUnavailableError(
            f"another thread of this process is migrating, and did not end within {RUNNER_TIMEOUT_S} s: "
            f"{address} was not migrated",
            remedy="wait for it, or end this process",
        )
    try:
        yield
    finally:
        _one_at_a_time.release()


def _await_runner(connection: Connection, address: DatabaseAddress) -> None:
    """Wait for the migration lock. Raises `StoreUnavailableError` that names its holder."""
    connection.exec_driver_sql(SET_TIMEOUTS, ("0", f"{RUNNER_TIMEOUT_S}s"))
    try:
        connection.exec_driver_sql("SELECT pg_advisory_lock(%s, %s)", MIGRATION_LOCK)
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise
        connection.rollback()
        runner = connection.exec_driver_sql(_RUNNER, MIGRATION_LOCK).first()
        if runner is None:  # it ended in this moment
            shown, mending = "", "run it again"
        else:
            pid, user, application, client = runner
            origin = "" if client is None else f", from {client}"
            shown = f" (backend {pid}, user {user}, program {application or 'unnamed'}{origin})"
            mending = f"wait for it, or end it with SELECT pg_terminate_backend({pid})"
        raise StoreUnavailableError(
            f"another program is migrating {address}{shown}, and did not end within {RUNNER_TIMEOUT_S} s",
            remedy=mending,
        ) from error


@contextmanager
def _connected(address: DatabaseAddress, doing: str) -> Iterator[Connection]:
    """A SQLAlchemy connection, as Alembic takes it; translates the driver's errors."""

    def connect() -> psycopg.Connection[Any]:
        connection = address.connect(CONNECT_TIMEOUT_S)
        connection.autocommit = False
        return connection

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    try:
        with closing(engine.connect()) as connection:
            yield connection
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, psycopg.Error):
            raise translated(cause, f"{doing} {address}") from error
        raise
    finally:
        engine.dispose()


def _is_connection_lost(error: DBAPIError | psycopg.Error) -> bool:
    invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
    return invalidated or _sqlstate(error) is None


def _sqlstate(error: DBAPIError | psycopg.Error) -> str | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None
