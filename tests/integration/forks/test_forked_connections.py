"""A connection that a forked child has from its parent: nothing that the child does reaches the server."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import pytest

from aerotile.adapters.postgres.connection import Database
from aerotile.domain.errors import ForkedProcessError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def in_a_child(work: Callable[[], None]) -> None:
    """Run `work` in a forked child, whose failure fails the test."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_child_that_leaves_a_transaction_does_not_end_its_parents(migrated_database: str) -> None:
    with Database(migrated_database) as database:
        with database.connection() as connection, connection.transaction():
            connection.execute("CREATE TABLE survives (number int)")

            def leave() -> None:
                with suppress(Exception):
                    connection.execute("ROLLBACK")
                connection.close()

            in_a_child(leave)
            connection.execute("INSERT INTO survives VALUES (7)")
        assert database.fetch_all("reading", "SELECT number FROM survives") == [(7,)]


def test_a_child_that_closes_the_database_leaves_its_parents_session(migrated_database: str) -> None:
    with Database(migrated_database, max_size=1) as database:
        session = database.fetch_all("asking", "SELECT pg_backend_pid()")
        in_a_child(database.close)
        assert database.fetch_all("asking", "SELECT pg_backend_pid()") == session


@pytest.mark.parametrize("call", ["take", "connect_once"])
def test_a_child_is_refused_a_connection(migrated_database: str, call: str) -> None:
    with Database(migrated_database) as database:
        database.fetch_all("asking", "SELECT 1")

        def ask() -> None:
            with pytest.raises(ForkedProcessError, match=f"opened before a fork, by process {os.getppid()}"):
                getattr(database, call)()

        in_a_child(ask)
