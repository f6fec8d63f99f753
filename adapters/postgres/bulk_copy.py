"""Reading the catalogue's columns of all tiles in one binary COPY.

The driver's own loop over a COPY costs more for each row than the parser does; this loop calls libpq, from
compiled code where it can be reached, and so also detects a server that has stopped sending.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from ...domain.errors import StoreUnavailableError
from ...domain.values.catalogue_entries import CatalogueColumns
from ...domain.values.tile_key import VariantTable
from ...ext import CatalogueCopy, CopyStreamError
from .address import Connection
from .connection import Database
from .errors import BUSY_REMEDY
from .libpq import address_of, driver_libpq
from .predicates import HAS_CONTENT

# The columns that `ext.CatalogueCopy` reads. Text columns stay text: a COPY waits for the server, not for the
# parser, so that a conversion costs less there.
COPY_CATALOGUE = f"""
    COPY (
        SELECT zoom_level, x, y, source, flight_id, captured_at, COALESCE(accessed_at, created_at),
            disk_bytes, freshness_status = 'fresh', voting_status, pinned, uploaded_at IS NOT NULL,
            content_sha256
        FROM tiles WHERE {HAS_CONTENT}
    ) TO STDOUT (FORMAT binary)
"""
NO_STATEMENT_TIMEOUT = "SELECT set_config('statement_timeout', '0', true)"
GATHER_S = 0.0001
"""How long rows gather while none are waiting. A server that wakes this process for every 8 kB that it sends
works a fifth longer; a pause five times as long would let the socket fill up."""

_DOING = "reading the catalogue"
_CANCEL_TIMEOUT_S = 2.0
_FAILED = -2


def read_catalogue(database: Database) -> tuple[CatalogueColumns, VariantTable]:
    """Every committed tile's columns, as one consistent snapshot, and the table that names their flights.

    The COPY may take any time while rows arrive. Raises `StoreUnavailableError` when no row has arrived for
    as long as a statement may take, and `TileMetadataError` for an impossible row.
    """
    parsed = CatalogueCopy()
    with database.session(_DOING) as connection, connection.transaction():
        connection.execute(NO_STATEMENT_TIMEOUT)
        try:
            _copy(connection.pgconn, parsed, database.statement_timeout_s)
            return parsed.finish()
        except CopyStreamError as error:
            _abandon(connection)
            raise StoreUnavailableError(f"{_DOING} failed: {error}") from error
        except BaseException:
            _abandon(connection)
            raise


def _copy(pgconn: PGconn, parsed: CatalogueCopy, stall_limit_s: float) -> None:
    readable = select.poll()
    readable.register(pgconn.socket, select.POLLIN)

    def wait() -> None:
        if not readable.poll(0):
            time.sleep(GATHER_S)
        if not readable.poll(stall_limit_s * 1000):
            raise StoreUnavailableError(
                f"{_DOING} failed: nothing came for {stall_limit_s:g} s", remedy=BUSY_REMEDY
            )
        pgconn.consume_input()

    pgconn.send_query(COPY_CATALOGUE.encode())
    pgconn.flush()  # a few hundred bytes on an idle connection: the socket buffer holds them
    _expect(ExecStatus.COPY_OUT, pgconn, wait)
    while not _take(pgconn, parsed):
        wait()
    _expect(ExecStatus.COMMAND_OK, pgconn, wait)
    while pgconn.is_busy():  # a call for a result that has not arrived would block with the GIL held
        wait()
    pgconn.get_result()


def _take(pgconn: PGconn, parsed: CatalogueCopy) -> bool:
    """Take in the rows that are here; whether they were the last."""
    libpq, address = driver_libpq(), address_of(pgconn)
    if libpq is not None and address is not None:
        answer = parsed.take(libpq, address, pgconn.socket, round(GATHER_S * 1e6))
        if answer == _FAILED:
            raise psycopg.OperationalError(pgconn.get_error_message())
        return answer < 0
    while True:
        length, row = pgconn.get_copy_data(1)
        if length <= 0:
            return length < 0
        parsed.feed(row)


def _expect(status: ExecStatus, pgconn: PGconn, wait: Callable[[], None]) -> None:
    """Take the next result. Raises `psycopg.Error` when it is not of this status."""
    while pgconn.is_busy():
        wait()
    result = pgconn.get_result()
    if result is None:
        raise psycopg.OperationalError("the server gave no result")
    if result.status != status:
        raise error_from_result(result)


def _abandon(connection: Connection) -> None:
    """Cancel the COPY and close the connection: the rest of the stream is not read."""
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=_CANCEL_TIMEOUT_S)
    connection.close()
