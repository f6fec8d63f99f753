"""Which revision a database is at, read without Alembic: most opens find the newest and need no more.

Loading Alembic and SQLAlchemy takes longer than loading a catalogue of 100,000 tiles.
"""

from __future__ import annotations

import pkgutil
from contextlib import closing
from typing import Any

import psycopg

from ...domain.errors import StoreUnavailableError
from ...migrations import versions
from .address import DatabaseAddress
from .errors import OWN_PLACE_REMEDY, translated

CONNECT_TIMEOUT_S = 5.0
# The columns that table tiles has at every revision.
HAS_OUR_TILES = """
    SELECT count(*) = 3 FROM pg_attribute
    WHERE attrelid = to_regclass('tiles') AND attname IN ('captured_at', 'flight_id', 'tile_size_pixels')
"""


def known_revisions() -> tuple[str, ...]:
    """The revisions that this program knows, oldest first: `0001` is module `revision_0001_baseline`."""
    return tuple(sorted(module.name.split("_")[1] for module in pkgutil.iter_modules(versions.__path__)))


def is_at_newest_revision(dsn: str) -> bool:
    """Whether the database needs no migration. Raises what `read_revision` raises."""
    return _revision_of(DatabaseAddress(dsn)) == known_revisions()[-1]


def check_revision(dsn: str) -> None:
    """Raise `StoreUnavailableError` unless the database is at the revision that this program needs."""
    address = DatabaseAddress(dsn)
    found, newest = _revision_of(address), known_revisions()[-1]
    if found != newest:
        raise StoreUnavailableError(
            f"{address} is at revision {found or 'none'}, this program needs {newest}",
            remedy="run `aerotile migrate`",
        )


def read_revision(connection: psycopg.Connection[Any], address: DatabaseAddress) -> str | None:
    """The revision of this program's tables; None where there are none. Leaves no transaction open.

    Raises `StoreUnavailableError` when a newer version, or another program, has migrated the database, and
    the driver's own error when the database does not answer.
    """
    try:
        found, has_our_tiles = _read(connection)
    except psycopg.errors.UndefinedColumn:  # a table alembic_version that is not Alembic's
        found, has_our_tiles = ["unknown"], False
    finally:
        connection.rollback()
    if not found:
        return None
    if not has_our_tiles:
        raise StoreUnavailableError(
            f"{address} has been migrated by another program: its table alembic_version holds "
            f"{', '.join(map(repr, found))}, and Aerotile's table tiles is missing",
            remedy=OWN_PLACE_REMEDY,
        )
    known = known_revisions()
    if len(found) > 1 or found[0] not in known:
        raise StoreUnavailableError(
            f"{address} is at revision {', '.join(found)}, which is newer than this program "
            f"(it knows revisions up to {known[-1]})",
            remedy="install the version of Aerotile that migrated this database, or a newer one",
        )
    return found[0]


def _read(connection: psycopg.Connection[Any]) -> tuple[list[str], bool]:
    """The revisions in Alembic's table, and whether this program's tiles are there."""
    with connection.cursor() as cursor:
        (table,) = cursor.execute("SELECT to_regclass('alembic_version')").fetchone() or (None,)
        if table is None:
            return [], False
        rows = cursor.execute("SELECT version_num FROM alembic_version").fetchall()
        (has_our_tiles,) = cursor.execute(HAS_OUR_TILES).fetchone() or (False,)
        return [str(revision) for (revision,) in rows], bool(has_our_tiles)


def _revision_of(address: DatabaseAddress) -> str | None:
    try:
        with closing(address.connect(CONNECT_TIMEOUT_S)) as connection:
            connection.patience_s = CONNECT_TIMEOUT_S
            connection.autocommit = False
            return read_revision(connection, address)
    except psycopg.Error as error:
        raise translated(error, f"reading the revision of {address}") from error
