"""Parts that tests share: a real PostgreSQL of their own, databases on it, and hypothesis profiles.

Drivers are imported inside the fixtures: tests/unit runs where none of them is installed.
`TEST_POSTGRES_DSN` names a server to use in place of the embedded one; its role must be allowed to create
databases.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import settings

# A deadline would be a timing assertion: a busy machine is not a failed test.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# A crash of the session's server loses nothing that anybody wants to keep. test_embedded_postgres.py does not
# use these: it holds the supervisor to the settings of a flight.
_SETTINGS_OF_A_THROWAWAY_SERVER = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@attrs.frozen
class PostgresServer:
    """A running server and how an administrator reaches it."""

    dsn: str = attrs.field(repr=False)

    def create_database(self, *, template: str | None = None) -> str:
        """Create a database with a name of its own, empty or a copy of `template`, and return its name."""
        import psycopg
        from psycopg import sql

        name = f"aerotile_test_{uuid.uuid4().hex}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template or "template0")
        )
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement)
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, ending whatever is still connected to it."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def dsn_of(self, database: str) -> str:
        """The DSN of one database on this server."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(self.dsn, dbname=database)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real server: this session's own, or the one that TEST_POSTGRES_DSN names."""
    dsn = os.environ.get("TEST_POSTGRES_DSN")
    if dsn:
        yield PostgresServer(dsn)
        return
    from aerotile.adapters.postgres.embedded import EmbeddedPostgres

    with EmbeddedPostgres(
        tmp_path_factory.mktemp("postgres"), extra_settings=_SETTINGS_OF_A_THROWAWAY_SERVER
    ) as embedded:
        yield PostgresServer(embedded.dsn)


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The DSN of a new database with nothing in it."""
    name = postgres_server.create_database()
    yield postgres_server.dsn_of(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def _migrated_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database at the newest revision, made once per session to be copied."""
    from aerotile.adapters.postgres.migrate import apply_migrations

    name = postgres_server.create_database()
    apply_migrations(postgres_server.dsn_of(name))
    yield name
    postgres_server.drop_database(name)


@pytest.fixture
def migrated_database(postgres_server: PostgresServer, _migrated_template: str) -> Iterator[str]:
    """The DSN of a new database at the newest revision, with nothing in it but what migrations seed."""
    name = postgres_server.create_database(template=_migrated_template)
    yield postgres_server.dsn_of(name)
    postgres_server.drop_database(name)
