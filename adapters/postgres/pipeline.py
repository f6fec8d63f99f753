"""Several statements in one round trip, at a fraction of the processor time of the driver's own pipeline.

It is for the write of one tile, where the driver's pipeline would take about as long as the flush of the
log. A statement with parameters is prepared once per connection. The server infers the types of the
parameters, and all values travel as text, so that numbers of different sizes share one prepared statement.
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

from ...ext import AwaitedInsert, await_readable, holds_whole_answer
from .address import Connection, ServerSilentError
from .libpq import address_of, driver_libpq

Statement = tuple[str, Sequence[Any]]
"""A query with `%s` for each of its parameters, and no other `%`."""

# The types of a tile's row. The driver's own conversion covers more types and takes ten times as long.
_AS_TEXT: Mapping[type, Callable[[Any], bytes]] = {
    int: b"%d".__mod__,
    float: lambda value: repr(value).encode(),
    str: str.encode,
    UUID: lambda value: value.hex.encode(),
    datetime: lambda value: value.isoformat().encode(),
}


@attrs.frozen
class Answer:
    """The answer to one statement."""

    connection: Connection
    result: PGresult

    @property
    def tag(self) -> str:
        """The server's command tag: `COMMIT`, or `ROLLBACK` for the COMMIT of a failed transaction."""
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


class Pipeline:
    """Statements that were sent in one go; `receive` waits for their answers."""

    __slots__ = ("_awaited", "_connection", "_follower")

    def __init__(self, connection: Connection, statements: Sequence[Statement]) -> None:
        """Send `statements` without waiting. When anything interrupts, the connection is closed."""
        self._connection = connection
        self._awaited: list[str | None] = []
        """For each result to come: the query that it prepares, or None."""
        self._follower: AwaitedInsert | None = None
        pgconn, prepared = connection.pgconn, connection.prepared
        try:
            pgconn.enter_pipeline_mode()
            for query, values in statements:
                if values:
                    if query not in prepared:
                        prepared[query] = b"aerotile_%d" % len(prepared)
                        pgconn.send_prepare(prepared[query], _numbered(query))
                        self._awaited.append(query)
                    pgconn.send_query_prepared(prepared[query], _texts(connection, values))
                else:
                    pgconn.send_query_params(query.encode(), None)
                self._awaited.append(None)
            pgconn.pipeline_sync()
        except BaseException:
            connection.close()
            raise

    def commit_behind(self, query: str, values: Sequence[Any]) -> AwaitedInsert:
        """What awaits the answer, and sends `query` and COMMIT behind it; for one INSERT in this pipeline.

        Nothing is sent unless `query` is prepared on this connection, and the driver compiled.
        """
        connection, libpq = self._connection, driver_libpq()
        follower = self._follower = AwaitedInsert(connection.fileno())
        name, address = connection.prepared.get(query), address_of(connection.pgconn)
        if libpq is not None and name is not None and address is not None:
            follower.commit_by(libpq, address, name, _texts(connection, values))
        return follower

    @property
    def is_committing(self) -> bool:
        """Whether the COMMIT of `commit_behind` may have reached the server."""
        return self._follower is not None and self._follower.is_committing

    def receive(self) -> list[Answer]:
        """The answers; entry i belongs to statement i.

        Raises the driver's error for the first statement that failed; those behind it were not done, and the
        transaction is as the server left it. When anything else interrupts, the connection is closed.
        """
        return self._receive(self._awaited)

    def receive_inserted(self) -> list[Answer]:
        """`receive` when the COMMIT is being sent: libpq has these answers already."""
        return self._receive(self._awaited, is_read=True, is_last=False)

    def receive_committed(self) -> list[Answer]:
        """The answers to the query and the COMMIT of `commit_behind`, after `receive_inserted`."""
        if self._follower is None or not self._follower.is_sent:
            self._connection.close()
            raise psycopg.OperationalError("the COMMIT could not be sent")
        return self._receive([None, None])

    def _receive(
        self, awaited: Sequence[str | None], *, is_read: bool = False, is_last: bool = True
    ) -> list[Answer]:
        connection, prepared = self._connection, self._connection.prepared
        try:
            results = _receive(connection, len(awaited), is_read=is_read)
            if is_last:
                connection.pgconn.exit_pipeline_mode()
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


def run_pipelined(connection: Connection, *statements: Statement) -> list[Answer]:
    """Run `statements` in one round trip; answers and errors as `Pipeline.receive` has them."""
    return Pipeline(connection, statements).receive()


@lru_cache
def _numbered(query: str) -> bytes:
    """The query with its parameters as the server has them: $1, $2, ..."""
    first, *rest = query.split("%s")
    return "".join([first, *(f"${number}{part}" for number, part in enumerate(rest, start=1))]).encode()


def _texts(connection: Connection, values: Sequence[Any]) -> Sequence[Any]:
    """The values as the server reads them. Raises the driver's error for what it can't write."""
    try:
        return [None if value is None else _AS_TEXT[type(value)](value) for value in values]
    except KeyError:
        return Transformer(connection).dump_sequence(values, [PyFormat.TEXT] * len(values))


def _receive(connection: Connection, count: int, *, is_read: bool) -> list[PGresult]:
    """The results of `count` statements; `is_read`: libpq has all of them already.

    Waits without the GIL, which is taken once when the whole answer arrives together. Raises
    `ServerSilentError` when the server sends nothing for `patience_s` seconds.
    """
    pgconn = connection.pgconn
    is_whole = is_read
    if not is_read:
        if pgconn.flush():
            _flush(connection)
        is_whole = _await_answer(connection)
        pgconn.consume_input()
    results: list[PGresult] = []
    while len(results) <= count:  # behind them comes the answer to the sync
        while not is_whole and pgconn.is_busy():
            is_whole = _await_answer(connection)
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is not None:
            results.append(result)
    if results.pop().status != ExecStatus.PIPELINE_SYNC:
        raise psycopg.OperationalError("the server's answers don't match the statements")
    return results


def _await_answer(connection: Connection) -> bool:
    """Wait for more of an answer; whether its end lies in the socket, so that no result needs a wait."""
    descriptor, patience_s = connection.fileno(), connection.patience_s
    if holds_whole_answer(descriptor):  # asked first, because a wait gives up the GIL
        return True
    if not await_readable(descriptor, patience_s):
        raise ServerSilentError(0.0 if patience_s is None else patience_s)
    return holds_whole_answer(descriptor)


def _flush(connection: Connection) -> None:
    """Send what the socket did not take at once."""
    pgconn, patience_s = connection.pgconn, connection.patience_s
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLOUT)
    while pgconn.flush():
        events = poll.poll(None if patience_s is None else patience_s * 1000)
        if not events and patience_s is not None:
            raise ServerSilentError(patience_s)
        # The server may stop reading until its answers are read.
        if any(event & ~select.POLLOUT for _, event in events):
            pgconn.consume_input()
