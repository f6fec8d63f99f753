"""A transaction that adds or removes tiles, and updates the disk accounting with them.

The accounting is one row that every such transaction updates. The update is sent together with the COMMIT, as
the last statement before it, so that the row is locked only for the flush of the log.

Where the answer to COMMIT is lost, the server is asked on another connection whether the transaction was
committed (`TileTransaction._settle`). The call then returns, or raises `StoreUnavailableError`, or, where the
server does not say, `CommitOutcomeUnknownError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import attrs
import psycopg
from psycopg.pq import TransactionStatus

from ...domain.errors import CommitOutcomeUnknownError, HeadroomTakenError, StoreUnavailableError
from ...domain.values.disk_usage import DiskUsage
from ...domain.values.tiles import TileMetadataPersistent
from ...ext import AwaitedInsert, copy_rows
from .address import Connection
from .connection import Database
from .errors import describe, translate_errors, translated
from .pipeline import Answer, Pipeline, Statement, run_pipelined
from .queries import (
    ADD_DISK_BYTES,
    CEILING_CONSTRAINTS,
    SELECT_XID,
    TERMINATE_XACT,
    XACT_STATUS,
    read_usage,
)

OUTCOME_WAIT_S = 5.0
"""How long a commit whose connection was lost queries its outcome before it gives up."""
OUTCOME_PAUSE_S = 0.1

BEGIN: Statement = ("BEGIN", ())
COMMIT: Statement = ("COMMIT", ())
ROLLBACK: Statement = ("ROLLBACK", ())
SAVEPOINT: Statement = ("SAVEPOINT counted", ())


class TileTransaction:
    """One transaction, rolled back when its context is left without `commit`. For one thread.

    `xid` identifies the transaction when the answer to its COMMIT is lost: `begin_numbered` learns it, or the
    caller sets it once a statement returned it.
    """

    connection: Connection

    def __init__(
        self,
        database: Database,
        ceilings: tuple[int | None, int | None] = (None, None),
        *,
        connection: Connection | None = None,
    ) -> None:
        """Runs on `connection`; default one of the pool, from entering the context to leaving it.

        `ceilings` are the largest footprints, of all tiles and of onboard tiles, that a commit may lead to;
        None: any.
        """
        self._database = database
        self._ceilings = ceilings
        self._given = connection
        self._open = False
        self._has_savepoint = False
        self.xid: str | None = None

    def __enter__(self) -> TileTransaction:
        self.connection = self._database.take() if self._given is None else self._given
        self._backend_pid = self.connection.pgconn.backend_pid
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            self._end()
        finally:
            if self._given is None:
                self._database.give_back(self.connection)

    def begin(self, doing: str, *statements: Statement) -> list[Answer]:
        """BEGIN and run `statements` in one round trip; entry i is the answer to statement i.

        The driver's UniqueViolation passes, for the caller to name the tile; other errors are translated.
        """
        self._open = True
        return self.execute(doing, BEGIN, *statements)[1:]

    def begin_numbered(self, doing: str, *statements: Statement) -> list[Answer]:
        """As `begin`, and learn `xid` in the same round trip."""
        self._open = True
        _, *answers, number = self.execute(doing, BEGIN, *statements, (SELECT_XID, ()))
        self.xid = number.text
        return answers

    def send_all(self, doing: str, statement: Statement) -> Pipeline:
        """Send BEGIN, the one statement before `commit`, and the savepoint of `commit`; for `receive`."""
        self._open = self._has_savepoint = True
        return self._send(doing, BEGIN, statement, SAVEPOINT)

    def commit_behind(self, doing: str, sent: Pipeline, added: DiskUsage) -> AwaitedInsert:
        """What awaits the answer to the INSERT that `send_all` sent, and may do `commit` behind it."""
        with translate_errors(doing):
            return sent.commit_behind(ADD_DISK_BYTES, self._addition(added))

    def receive(self, doing: str, sent: Pipeline) -> list[Answer]:
        """The answers to all statements that were sent; errors as `begin` has them."""
        try:
            return sent.receive()
        except psycopg.errors.UniqueViolation:
            raise
        except BaseException as error:
            # A tile's session lock may be left behind, which no ROLLBACK gives back.
            self.connection.close()
            if isinstance(error, psycopg.Error):
                raise translated(error, doing) from error
            raise

    def execute(self, doing: str, *statements: Statement) -> list[Answer]:
        """Run more statements in one round trip; answers and errors as `begin` has them."""
        return self.receive(doing, self._send(doing, *statements))

    def _send(self, doing: str, *statements: Statement) -> Pipeline:
        try:
            return Pipeline(self.connection, statements)
        except psycopg.Error as error:
            raise translated(error, doing) from error

    def copy(self, doing: str, query: str, tiles: Sequence[TileMetadataPersistent]) -> bool:
        """COPY new rows in; False when one of them was refused, and then none of them is there."""
        try:
            rows = copy_rows(tiles)
        except OverflowError:  # a number that no column holds
            return False
        with translate_errors(doing):
            run_pipelined(self.connection, ("SAVEPOINT copied", ()))
            try:
                with self.connection.cursor().copy(query) as copy:
                    copy.write(rows)
            except (psycopg.IntegrityError, psycopg.DataError):
                run_pipelined(self.connection, ("ROLLBACK TO SAVEPOINT copied", ()))
                return False
        return True

    def commit(
        self,
        doing: str,
        added: DiskUsage,
        trace: Callable[[], Statement],
        *,
        sent: Pipeline | None = None,
    ) -> None:
        """Add `added` to the accounting and COMMIT.

        `trace` makes the query whether the change is visible, for the case that the connection is lost.
        `sent` is the INSERT of `send_all` where the COMMIT was sent behind it, and neither answer received.
        Raises `HeadroomTakenError` when the budget would be passed (the transaction stays open and keeps its
        locks), `StoreUnavailableError` when it is certainly not committed, `CommitOutcomeUnknownError`.
        """
        if not self._open:
            raise ValueError(f"{doing}: the transaction has ended")
        try:
            if sent is None:
                *_, committed = run_pipelined(self.connection, *self._counting(added), COMMIT)
            else:
                _, inserted, _ = sent.receive_inserted()
                self.xid = inserted.text
                _, committed = sent.receive_committed()
        except psycopg.Error as error:
            # Only a server that reports a failed transaction has certainly not gone on to the COMMIT. A
            # session that it ended may have got there before: its last message does not say.
            if self.connection.info.transaction_status is not TransactionStatus.INERROR:
                self._open = False
                self.connection.close()
                self._settle(doing, trace, error, was_sent=sent is not None)
                return
            ceilings = dict(zip(CEILING_CONSTRAINTS, self._ceilings, strict=True))
            ceiling = ceilings.get(error.diag.constraint_name or "")
            if ceiling is None:
                raise translated(error, doing) from error
            of_share = error.diag.constraint_name == CEILING_CONSTRAINTS[1]
            raise self._headroom_taken(doing, added, ceiling, of_share) from error
        else:
            self._open = False
            if committed.tag != "COMMIT":
                raise StoreUnavailableError(f"{doing} failed: the transaction had been aborted before")

    def _counting(self, added: DiskUsage) -> list[Statement]:
        """The statements before the COMMIT."""
        if added == DiskUsage():
            return []
        counting: Statement = (ADD_DISK_BYTES, self._addition(added))
        return [counting] if self._has_savepoint else [SAVEPOINT, counting]

    def _addition(self, added: DiskUsage) -> tuple[int | None, ...]:
        """The values of ADD_DISK_BYTES."""
        return *self._ceilings, *attrs.astuple(added)

    def _end(self) -> None:
        """Roll back unless committed."""
        if not self._open:
            return
        self._open = False
        # Where an answer is outstanding or lost, the server rolls back when the connection is closed.
        with suppress(psycopg.Error):
            if self.connection.info.transaction_status in (
                TransactionStatus.INTRANS,
                TransactionStatus.INERROR,
            ):
                run_pipelined(self.connection, ROLLBACK)
                return
        self.connection.close()

    def _headroom_taken(
        self, doing: str, added: DiskUsage, ceiling: int, of_share: bool
    ) -> HeadroomTakenError:
        with translate_errors(doing):
            run_pipelined(self.connection, ("ROLLBACK TO SAVEPOINT counted", ()))
            used = read_usage(self.connection)
            if of_share:
                return HeadroomTakenError(
                    added.onboard_footprint_bytes, ceiling, used.onboard_footprint_bytes
                )
            return HeadroomTakenError(added.footprint_bytes, ceiling, used.footprint_bytes)

    def _settle(
        self, doing: str, trace: Callable[[], Statement], error: psycopg.Error, *, was_sent: bool
    ) -> None:
        """Return when the COMMIT whose answer was lost was done; raise the error that is true otherwise."""
        if self.xid is None:
            committed = None if was_sent else False
        else:
            committed = self._was_committed(self.xid, trace)
        if committed:
            return
        message = f"{doing} failed: the connection was lost: {describe(error)}"
        if committed is False:
            raise StoreUnavailableError(
                message, remedy="check that the database is running, then try again"
            ) from error
        raise CommitOutcomeUnknownError(
            f"{message}; whether it was committed can't be known yet",
            remedy="run aerotile verify --reconcile when the database answers: it settles what is left",
        ) from error

    def _was_committed(self, xid: str, trace: Callable[[], Statement]) -> bool | None:
        """None when the server does not say so in time."""
        deadline = time.monotonic() + OUTCOME_WAIT_S
        while time.monotonic() < deadline:
            with suppress(StoreUnavailableError, psycopg.Error):
                connection = self._database.connect_once()
                try:
                    status = self._final_status(connection, xid, deadline)
                    # A server that crashed may give the number of a transaction that left nothing on its
                    # disk to another transaction, and "committed" may be the fate of that one.
                    if status == "committed":
                        row = connection.execute(*trace()).fetchone()
                        return row is not None and bool(row[0])
                    return False if status == "aborted" else None
                finally:
                    connection.close()
            time.sleep(OUTCOME_PAUSE_S)
        return None

    def _final_status(self, connection: Connection, xid: str, deadline: float) -> str | None:
        """`committed`, `aborted`, or None when it is still in progress at the deadline or too old to tell."""
        while time.monotonic() < deadline:
            try:
                row = connection.execute(XACT_STATUS, (xid,)).fetchone()
            except psycopg.errors.InvalidParameterValue:
                # A number of the future: a crash has taken the transaction and all that it wrote.
                return "aborted"
            if row is None or row[0] != "in progress":
                return None if row is None else row[0]
            # The old session has lost its client. If it has the COMMIT, it will finish it; if the COMMIT
            # never arrived, the session would wait for it without end.
            connection.execute(TERMINATE_XACT, (self._backend_pid, xid))
            time.sleep(OUTCOME_PAUSE_S)
        return None
