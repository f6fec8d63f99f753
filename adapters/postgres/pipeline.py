"""Several statements in one round trip, at a fraction of what the driver's own pipeline costs its caller.

It is for the write of one tile, where that is about as long as the flush of the log. A statement with
parameters is prepared when a connection first meets it; the server infers the types of its parameters, and
all values travel as text, so that a number's size never asks for a statement of its own.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import attrs
import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from .address import Connection, ServerSilentError

Statement = tuple[str, Sequence[Any]]
"""A query with `%s` for each of its parameters, and no other `%`."""

# What a tile's row is made of. The driver knows all this too, and more, and takes ten times as long.
_AS_TEXT: Mapping[type, Callable[[Any], bytes | None]] = {
    type(None): lambda value: None,
    int: lambda value: b"%d" % value,
    float: lambda value: repr(value).encode(),
    str: str.encode,
    UUID: lambda value: value.hex.encode(),
    datetime: lambda value: value.isoformat().encode(),
}


@attrs.frozen
class Answer:
    """What one statement returned."""

    connection: Connection
    result: PGresult

    @property
    def tag(self) -> str:
        """The server's name for what it did: `COMMIT`, or `ROLLBACK` for a COMMIT of what had failed."""
        return (self.result.command_status or b"").decode()

    @property
    def text(self) -> str:
        """The first value of the first row, which must be a text. Raises `ValueError` when there is none."""
        value = self.result.get_value(0, 0) if self.result.ntuples else None
        if value is None:
            raise ValueError("the statement returned nothing")
        return value.decode()

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows, values as the driver reads them."""
        transformer = Transformer(self.connection)
        transformer.set_pgresult(self.result)
        return transformer.load_rows(0, self.result.ntuples, tuple) if self.result.ntuples else []


def run_pipelined(
    connection: Connection, *statements: Statement, meanwhile: Callable[[], object] = lambda: None
) -> list[Answer]:
    """Run `statements` in one round trip; entry i is what statement i returned.

    `meanwhile` is called when they are on their way, before anything is waited for.

    What stands behind a statement that fails is not done. Raises the driver's error for it, with the
    transaction as the server left it. When anything else interrupts, the connection is closed.
    """
    pgconn = connection.pgconn
    prepared = connection.prepared
    awaited: list[str | None] = []  # for each result to come: the query that it prepares, or None
    try:
        pgconn.enter_pipeline_mode()
        for query, values in statements:
            if values:
                if query not in prepared:
                    prepared[query] = b"aerotile_%d" % len(prepared)
                    pgconn.send_prepare(prepared[query], _numbered(query))
                    awaited.append(query)
                pgconn.send_query_prepared(prepared[query], _texts(connection, values))
            else:
                pgconn.send_query_params(query.encode(), None)
            awaited.append(None)
        pgconn.pipeline_sync()
        meanwhile()
        results = _receive(connection, len(awaited))
        pgconn.exit_pipeline_mode()
    except BaseException:
        connection.close()
        raise
    for preparing, result in zip(awaited, results, strict=True):
        if preparing is not None and result.status != ExecStatus.COMMAND_OK:
            del prepared[preparing]
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result, encoding=connection.info.encoding)
    return [
        Answer(connection, result)
        for preparing, result in zip(awaited, results, strict=True)
        if preparing is None
    ]


@lru_cache
def _numbered(query: str) -> bytes:
    """The query with its parameters as the server has them: $1, $2, ..."""
    first, *rest = query.split("%s")
    return "".join([first, *(f"${place}{part}" for place, part in enumerate(rest, start=1))]).encode()


def _texts(connection: Connection, values: Sequence[Any]) -> Sequence[Any]:
    """The values as the server reads them. Raises the driver's error for what it can't write."""
    try:
        return [_AS_TEXT[type(value)](value) for value in values]
    except KeyError:
        return Transformer(connection).dump_sequence(values, [PyFormat.TEXT] * len(values))


def _receive(connection: Connection, count: int) -> list[PGresult]:
    """The results of `count` statements; waits without the GIL, while the server is not silent too long."""
    pgconn, patience_s = connection.pgconn, connection.patience_s
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLOUT)

    def wait() -> list[tuple[int, int]]:
        happened = poll.poll(None if patience_s is None else patience_s * 1000)
        if not happened and patience_s is not None:
            raise ServerSilentError(patience_s)
        return happened

    while pgconn.flush():
        # The server may want to be heard before it reads on.
        if any(happened & ~select.POLLOUT for _, happened in wait()):
            pgconn.consume_input()
    poll.modify(connection.fileno(), select.POLLIN)
    results: list[PGresult] = []
    while len(results) <= count:  # behind them comes the answer to the sync
        while pgconn.is_busy():
            wait()
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is not None:
            results.append(result)
    if results.pop().status != ExecStatus.PIPELINE_SYNC:
        raise psycopg.OperationalError("the server's answers don't match what it was asked")
    return results
