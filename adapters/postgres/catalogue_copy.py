"""Reading the catalogue's columns of all tiles in one binary COPY."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from ...domain.catalogue import CatalogueColumns
from ...domain.errors import StoreUnavailableError
from ...domain.tile_key import VariantTable
from ...ext import CatalogueCopy, CopyStreamError
from .address import Connection
from .connection import Database
from .driver_errors import translate_errors
from .queries import COPY_CATALOGUE, NO_STATEMENT_TIMEOUT

_DOING = "reading the catalogue"
_CANCEL_TIMEOUT_S = 5.0

_log = logging.getLogger("aerotile.store")


def read_catalogue(database: Database) -> tuple[CatalogueColumns, VariantTable]:
    """Every committed tile's columns, as one consistent snapshot, and the table that names their flights.

    However long the whole takes, it goes on while rows come in. Raises `StoreUnavailableError` when none came
    for as long as a statement may take, and `TileMetadataError` for an impossible row.
    """
    parsed = CatalogueCopy()
    with (
        database.connection() as connection,
        translate_errors(_DOING),
        connection.transaction(),
        connection.cursor() as cursor,
    ):
        cursor.execute(NO_STATEMENT_TIMEOUT)
        try:
            with (
                _cancelled_when_stalled(connection, database.statement_timeout_s, lambda: parsed.rows),
                cursor.copy(COPY_CATALOGUE) as blocks,
            ):
                for block in blocks:
                    parsed.feed(block)
            return parsed.finish()
        except CopyStreamError as error:
            raise StoreUnavailableError(f"{_DOING} failed: {error}") from error


@contextmanager
def _cancelled_when_stalled(
    connection: Connection, limit_s: float, progress: Callable[[], int]
) -> Iterator[None]:
    """Cancel the connection's statement when `progress` stands still for `limit_s`, or a little longer."""
    over = threading.Event()

    def watch() -> None:
        before = -1
        while not over.wait(limit_s):
            now = progress()
            if now == before:
                try:
                    connection.cancel_safe(timeout=_CANCEL_TIMEOUT_S)
                except psycopg.Error as error:  # the server is gone, which the connection's reader learns too
                    _log.warning("could not cancel %s: %s", _DOING, error)
                return
            before = now

    watcher = threading.Thread(target=watch, name="catalogue copy", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
