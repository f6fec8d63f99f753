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
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ...domain.errors import CommitOutcomeUnknownError, StoreUnavailableError
from .address import DatabaseAddress
from .errors import translated
from .queries import MIGRATION_LOCK

_log = logging.getLogger("aerotile.migrate")

# Alembic speaks about itself at INFO; what was applied is said here, once, in our words.
_alembic_logger = logging.getLogger("alembic")
if _alembic_logger.level == logging.NOTSET:
    _alembic_logger.setLevel(logging.WARNING)

SCRIPTS = "aerotile:migrations"
CONNECT_TIMEOUT_S = 5.0
TABLE_LOCK_TIMEOUT = "60s"
"""How long a migration waits for programs that use the tables, before it gives up and changes nothing."""
SERIALIZATION_FAILURE = "40001"
SET_TIMEOUTS = "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)"

_one_at_a_time = threading.Lock()
"""Alembic keeps the running migration in module globals, so threads of one process take turns."""


@attrs.frozen
class MigrationReport:
    """What a run did."""

    before: str | None
    """The revision that was found; None for an empty database."""
    after: str
    """The revision that the database has now."""
    applied: tuple[str, ...]
    """Revisions applied, in order; empty when there was nothing to do."""


def apply_migrations(dsn: str) -> MigrationReport:
    """Upgrade to the newest revision, all steps in one transaction; when this raises, nothing has changed.

    Waits for other runners, and tries once more when the database reports a serialization failure. Raises
    `StoreUnavailableError` (no answer; a database that is newer than this program), `TileMetadataError` (rows
    that no migration can bring along) and `ConfigurationError` for a DSN that can't be read. After
    `CommitOutcomeUnknownError` either all of it was done or nothing; calling it again does what is left.
    """
    with _migrating(dsn) as run:
        before = run.revision()
        run.refuse_unknown(before)
        try:
            run.to("head")
        except DBAPIError as error:
            if _sqlstate(error) != SERIALIZATION_FAILURE:
                raise
            _log.warning("migration was interrupted by another transaction (40001), trying once more")
            run.to("head")
        applied = tuple(run.steps)
        after = run.revision()
    if after is None:
        raise StoreUnavailableError(f"{run.address} has no revision after migrating it")
    if applied:
        _log.info("applied %s; %s is at revision %s", ", ".join(applied), run.address, after)
    else:
        _log.info("nothing to do; %s is at revision %s", run.address, after)
    return MigrationReport(before=before, after=after, applied=applied)


def revert_migrations(dsn: str, revision: str) -> tuple[str, ...]:
    """Downgrade to `revision` ("base" for none), every row kept; returns the revisions undone, in order.

    Raises `TileCacheError`, with nothing changed, when a step would lose what can't be derived again.
    """
    with _migrating(dsn) as run:
        run.refuse_unknown(run.revision())
        run.refuse_unknown(None if revision == "base" else revision)
        run.to(revision, down=True)
        _log.info("undid %s; %s is at revision %s", ", ".join(run.steps) or "nothing", run.address, revision)
        return tuple(run.steps)


def check_revision(dsn: str) -> None:
    """Raise `StoreUnavailableError` unless the database is at the revision that this program needs."""
    address = DatabaseAddress(dsn)
    with _connected(address, patience_s=CONNECT_TIMEOUT_S) as connection:
        run = _Run(address, connection)
        found = run.revision()
        run.refuse_unknown(found)
        newest = run.scripts.get_current_head()
        if found != newest:
            raise StoreUnavailableError(
                f"{address} is at revision {found or 'none'}, this program needs {newest}",
                remedy="run `aerotile migrate`",
            )


@attrs.define
class _Run:
    """Alembic on one connection."""

    address: DatabaseAddress
    connection: Connection
    steps: list[str] = attrs.field(factory=list)
    commit_begun: bool = False
    config: Config = attrs.field(factory=Config)
    scripts: ScriptDirectory = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.config.set_main_option("script_location", SCRIPTS)
        self.config.set_main_option("path_separator", "os")
        self.config.attributes["connection"] = self.connection
        self.config.attributes["on_version_apply"] = self._note_step
        self.scripts = ScriptDirectory.from_config(self.config)

    def _note_step(self, *, step: Any, **_: Any) -> None:
        self.steps.append(step.up_revision_id)

    def note_commit(self, _: Connection) -> None:
        self.commit_begun = True

    def revision(self) -> str | None:
        found = MigrationContext.configure(self.connection).get_current_revision()
        self.connection.rollback()
        return found

    def refuse_unknown(self, revision: str | None) -> None:
        if revision is None:
            return
        try:
            self.scripts.get_revision(revision)
        except CommandError as error:
            raise StoreUnavailableError(
                f"{self.address} is at revision {revision}, which is newer than this program "
                f"(it knows revisions up to {self.scripts.get_current_head()})",
                remedy="install the version of Aerotile that migrated this database, or a newer one",
            ) from error

    def to(self, revision: str, *, down: bool = False) -> None:
        self.steps.clear()
        try:
            (command.downgrade if down else command.upgrade)(self.config, revision)
            self.connection.commit()
        except BaseException:
            self.connection.rollback()
            raise


@contextmanager
def _migrating(dsn: str) -> Iterator[_Run]:
    """A connection that holds the migration lock until it is closed."""
    address = DatabaseAddress(dsn)
    with _one_at_a_time, _connected(address) as connection:
        # What the role sets as defaults must not cut the waiting or the work short.
        connection.exec_driver_sql(SET_TIMEOUTS, ("0", "0"))
        (free,) = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s, %s)", MIGRATION_LOCK).one()
        if not free:
            _log.info("waiting for another program to finish migrating %s", address)
            connection.exec_driver_sql("SELECT pg_advisory_lock(%s, %s)", MIGRATION_LOCK)
        connection.exec_driver_sql(SET_TIMEOUTS, ("0", TABLE_LOCK_TIMEOUT))
        connection.commit()
        run = _Run(address, connection)
        event.listen(connection, "commit", run.note_commit)
        try:
            yield run
        except DBAPIError as error:
            if not run.commit_begun or not (error.connection_invalidated or _sqlstate(error) is None):
                raise
            raise CommitOutcomeUnknownError(
                f"migrating {address}: the connection was lost during the commit or behind it; all of it was "
                "done, or nothing",
                remedy="run `aerotile migrate` again: it goes on from what it finds",
            ) from error


@contextmanager
def _connected(address: DatabaseAddress, *, patience_s: float | None = None) -> Iterator[Connection]:
    """A SQLAlchemy connection, which is what Alembic takes; the driver's errors end here."""

    def connect() -> psycopg.Connection[Any]:
        connection = address.connect(CONNECT_TIMEOUT_S)
        connection.patience_s = patience_s
        connection.autocommit = False
        return connection

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    try:
        with closing(engine.connect()) as connection:
            yield connection
    except DBAPIError as error:
        cause = error.orig
        if isinstance(cause, psycopg.Error):
            raise translated(cause, f"migrating {address}") from error
        raise
    finally:
        engine.dispose()


def _sqlstate(error: DBAPIError) -> str | None:
    return error.orig.sqlstate if isinstance(error.orig, psycopg.Error) else None
