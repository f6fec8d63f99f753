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
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ...domain.errors import CommitOutcomeUnknownError, StoreUnavailableError
from .address import DatabaseAddress
from .advisory_locks import MIGRATION_LOCK
from .errors import OWN_PLACE_REMEDY, translated

_log = logging.getLogger("aerotile.migrate")

# Alembic logs its own steps at INFO; this module logs each applied revision once.
_alembic_logger = logging.getLogger("alembic")
if _alembic_logger.level == logging.NOTSET:
    _alembic_logger.setLevel(logging.WARNING)

SCRIPTS = "aerotile:migrations"
CONNECT_TIMEOUT_S = 5.0
TABLE_LOCK_TIMEOUT = "60s"
"""How long a migration waits for programs that use the tables, before it gives up and changes nothing."""
SERIALIZATION_FAILURE = "40001"
# Every revision of table tiles has these columns.
HAS_OUR_TILES = """
    SELECT count(*) = 3 FROM pg_attribute
    WHERE attrelid = to_regclass('tiles') AND attname IN ('captured_at', 'flight_id', 'tile_size_pixels')
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

    Waits for other runners, and retries once after a serialization failure. Raises `StoreUnavailableError`
    (no answer; a database that is newer, or another program's), `TileMetadataError` (rows that no migration
    can convert) and `ConfigurationError` for an unreadable DSN. After `CommitOutcomeUnknownError` either all
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


def check_revision(dsn: str) -> None:
    """Raise `StoreUnavailableError` unless the database is at the revision that this program needs."""
    address = DatabaseAddress(dsn)
    with _connected(address, "reading the revision of", patience_s=CONNECT_TIMEOUT_S) as connection:
        run = _Run(address, connection)
        found = run.revision()
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
        """The revision of this program's tables; None where there are none.

        Raises `StoreUnavailableError` when a newer version, or another program, has migrated the database.
        """
        try:
            found = [str(head) for head in MigrationContext.configure(self.connection).get_current_heads()]
            has_our_tiles = self.connection.exec_driver_sql(HAS_OUR_TILES).scalar_one()
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.UndefinedColumn):
                raise
            found, has_our_tiles = ["unknown"], False  # a table alembic_version that is not Alembic's
        finally:
            self.connection.rollback()
        if not found:
            return None
        if not has_our_tiles:
            raise StoreUnavailableError(
                f"{self.address} has been migrated by another program: its table alembic_version holds "
                f"{', '.join(map(repr, found))}, and Aerotile's table tiles is missing",
                remedy=OWN_PLACE_REMEDY,
            )
        known = {script.revision for script in self.scripts.walk_revisions()}
        if len(found) > 1 or found[0] not in known:
            raise StoreUnavailableError(
                f"{self.address} is at revision {', '.join(found)}, which is newer than this program "
                f"(it knows revisions up to {self.scripts.get_current_head()})",
                remedy="install the version of Aerotile that migrated this database, or a newer one",
            )
        return found[0]

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
    with _one_at_a_time, _connected(address, "migrating") as connection:
        # Defaults of the role must not cut the wait or the work short.
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
def _connected(
    address: DatabaseAddress, doing: str, *, patience_s: float | None = None
) -> Iterator[Connection]:
    """A SQLAlchemy connection, as Alembic takes it; translates the driver's errors."""

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
            raise translated(cause, f"{doing} {address}") from error
        raise
    finally:
        engine.dispose()


def _sqlstate(error: DBAPIError) -> str | None:
    return error.orig.sqlstate if isinstance(error.orig, psycopg.Error) else None
