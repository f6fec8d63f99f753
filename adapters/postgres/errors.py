"""Translates the driver's errors into the domain's, each on one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from ...domain.errors import StoreUnavailableError, TileMetadataError

_CONNECTION_LOST = ("08", "57P")
"""SQLSTATE classes of a connection that broke, and of a server that is shutting down or starting."""

BUSY_REMEDY = "raise database.statement_timeout_s, or look for what keeps the database busy"
OWN_PLACE_REMEDY = (
    "give Aerotile a database of its own, or a schema that is the only one in its search_path "
    "(options='-c search_path=NAME' in the DSN)"
)


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
    """The domain's error for a driver's error; the caller raises it from the driver's."""
    message = f"{doing} failed: {describe(error)}"
    is_value_refused = isinstance(error, (psycopg.IntegrityError, psycopg.DataError))
    # What this side sends is always UTF-8; a database of encoding SQL_ASCII stores what any program gave it.
    if is_value_refused and not isinstance(error, psycopg.errors.CharacterNotInRepertoire):
        return TileMetadataError(message)
    return StoreUnavailableError(message, remedy=_remedy(error))


def is_connection_lost(error: psycopg.Error, connection: psycopg.Connection[Any]) -> bool:
    """Whether the server may have run the statement without an answer reaching this side."""
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        # Not the server's word. The driver sees a reset before libpq does: `closed` still says no.
        return True
    return connection.closed or (error.sqlstate or "").startswith(_CONNECTION_LOST)


def _remedy(error: psycopg.Error) -> str | None:
    if isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)):
        return "the database lacks a migration; run `aerotile migrate` on it"
    if isinstance(error, (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateFunction)):
        return f"that name is another program's here; {OWN_PLACE_REMEDY}"
    if isinstance(error, psycopg.errors.CharacterNotInRepertoire):
        return "another program wrote text that is not UTF-8 into this database: correct it there"
    if isinstance(error, psycopg.errors.InvalidSchemaName):
        return "create the schema that search_path names, or correct search_path"
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return "let this database be written: it is a standby, or default_transaction_read_only is on"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "give the role the right to create and use tables in this database"
    if isinstance(error, psycopg.errors.QueryCanceled):
        return BUSY_REMEDY
    if error.sqlstate is None or error.sqlstate.startswith(_CONNECTION_LOST):
        return "check that the database is running and reachable"
    return None


def describe(error: BaseException) -> str:
    """The driver's message on one line."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    return " ".join(str(error).split()) or type(error).__name__
