"""Who is connected to a test's database, and which of the store's locks are held."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from waiting import DEADLINE_S

BESIDE = "beside"
"""The `application_name` of clients that are not to be taken for the killed ones."""
_SELECT_OTHER_SESSIONS = f"""
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> '{BESIDE}'
"""
_SELECT_ADVISORY_LOCKS = """
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND datname = current_database()
"""


def other_sessions(connection: psycopg.Connection[Any]) -> set[int]:
    """The server's processes that serve somebody else in this database."""
    return {pid for (pid,) in connection.execute(_SELECT_OTHER_SESSIONS).fetchall()}


def await_end_of_sessions(connection: psycopg.Connection[Any], sessions: set[int]) -> None:
    """Wait until the server has noticed that these clients are dead, and has finished what they asked."""
    deadline = time.monotonic() + DEADLINE_S
    while sessions & other_sessions(connection):
        assert time.monotonic() < deadline, "the sessions of dead clients do not end"
        time.sleep(0.002)


def advisory_locks(connection: psycopg.Connection[Any]) -> int:
    """How many advisory locks anybody holds in this database."""
    found = connection.execute(_SELECT_ADVISORY_LOCKS).fetchone()
    assert found is not None
    return int(found[0])


def wait_until_nobody_is_connected(dsn: str) -> None:
    """Assert that every connection and every advisory lock of ended processes is gone soon."""
    deadline = time.monotonic() + DEADLINE_S
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            left = connection.execute(
                "SELECT pid, application_name, state, query FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND backend_type = 'client backend'"
            ).fetchall()
            if not left:
                break
            assert time.monotonic() < deadline, f"still connected: {left}"
            time.sleep(0.1)
        locks = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
    assert locks == (0,)
