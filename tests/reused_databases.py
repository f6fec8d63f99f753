"""Databases that tests use one after the other.

PostgreSQL creates a database as 300 files, which takes up to twenty times as long as emptying one does.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from psycopg import Connection

_FIRST_USER_OID = 16384
# TRUNCATE and VACUUM change these columns.
_VOLATILE = "relfilenode,relpages,reltuples,relallvisible,relallfrozen,relfrozenxid,relminmxid"
_OBJECTS = (
    *("pg_attrdef.adrelid", "pg_attribute.attrelid", "pg_constraint.oid", "pg_description.objoid"),
    *("pg_index.indexrelid", "pg_policy.oid", "pg_proc.oid", "pg_sequence.seqrelid", "pg_statistic.starelid"),
    *("pg_trigger.oid", "pg_type.oid"),
)
"""Catalogues, each with the column that tells what migrations and tests made from the server's own."""
_WHOLE = ("pg_default_acl", "pg_event_trigger", "pg_extension", "pg_largeobject_metadata", "pg_namespace")
_THIS_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
_SHAPE = " UNION ALL ".join(
    (
        f"SELECT to_jsonb(c) - '{{{_VOLATILE}}}'::text[] FROM pg_class c WHERE oid >= {_FIRST_USER_OID}",
        f"SELECT jsonb_build_array(datallowconn, datconnlimit, datistemplate, datacl, datdba) "
        f"FROM pg_database WHERE oid = {_THIS_DATABASE}",
        f"SELECT to_jsonb(s) FROM pg_db_role_setting s WHERE setdatabase = {_THIS_DATABASE}",
        # A row that was changed is another row: by its place, and by the transaction that made it.
        *(
            f"SELECT jsonb_build_array(count(*), sum(hashtext(xmin::text || ctid::text))) FROM {catalogue} "
            f"WHERE {column} >= {_FIRST_USER_OID}"
            for catalogue, column in (each.split(".") for each in _OBJECTS)
        ),
        *(
            f"SELECT to_jsonb(md5(string_agg(c::text, ' ' ORDER BY c::text))) FROM {catalogue} c"
            for catalogue in _WHOLE
        ),
    )
)
_SELECT_SHAPE = f"SELECT md5(string_agg(part::text, ' ' ORDER BY part::text)) FROM ({_SHAPE}) AS parts(part)"
_SELECT_TABLES_WITH_BYTES = f"""
    SELECT oid::regclass::text FROM pg_class
    WHERE oid >= {_FIRST_USER_OID} AND relkind = 'r' AND pg_relation_size(oid) > 0
"""
_SELECT_SEQUENCES = (
    "SELECT format('%I.%I', schemaname, sequencename), start_value, last_value FROM pg_sequences ORDER BY 1"
)
_END_SESSIONS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"


class Server(Protocol):
    """What makes and drops databases."""

    dsn: str

    def create_database(self, *, template: str | None = None) -> str:
        """Create a copy of `template` and return its name."""

    def drop_database(self, name: str) -> None:
        """Drop a database, and do nothing where it is gone."""

    def dsn_of(self, database: str) -> str:
        """The DSN of one database on this server."""


@attrs.frozen
class _Content:
    """All that a test can have changed in a database."""

    shape: str
    rows: dict[str, str]
    """The rows of each table that has bytes, as JSON."""
    sequences: list[tuple[str, int, int | None]]


@attrs.define
class ReusedDatabases:
    """Copies of one template, each handed to one test at a time, empty as the template is.

    A database comes back under a new name, so that nothing that a test left running can find it again. One
    whose tables, functions, rights or settings are no longer those of the template is dropped.
    """

    server: Server
    template: str
    _clean: list[str] = attrs.field(factory=list, init=False)
    _contents: dict[str, _Content] = attrs.field(factory=dict, init=False)
    _administrator: Connection[Any] | None = attrs.field(default=None, init=False)

    def take(self) -> str:
        """The name of a database that no other test has."""
        if self._clean:
            return self._clean.pop()
        name = self.server.create_database(template=self.template)
        with self._connect(name) as connection:
            self._contents[name] = _content(connection)
        return name

    def give_back(self, name: str) -> None:
        """End who is still connected, and empty the database for the next test, or drop it."""
        import psycopg

        content = self._contents.pop(name)
        new_name = f"aerotile_test_{uuid.uuid4().hex}"
        try:
            if self._administrator is None or self._administrator.closed:
                self._administrator = psycopg.connect(self.server.dsn, autocommit=True)
            self._administrator.execute(_END_SESSIONS, (name,))
            self._administrator.execute(f"ALTER DATABASE {name} RENAME TO {new_name}")
            with self._connect(new_name) as connection:
                is_clean = _restore(connection, content)
        except psycopg.Error:
            is_clean = False
        if not is_clean:
            self.server.drop_database(name)
            self.server.drop_database(new_name)
            return
        self._contents[new_name] = content
        self._clean.append(new_name)

    def close(self) -> None:
        """Drop every database, also those that a test still has."""
        if self._administrator is not None:
            self._administrator.close()
        for name in self._contents:
            self.server.drop_database(name)
        self._contents.clear()
        self._clean.clear()

    def _connect(self, name: str) -> Connection[Any]:
        import psycopg

        return psycopg.connect(self.server.dsn_of(name))


def _content(connection: Connection[Any]) -> _Content:
    (shape,) = connection.execute(_SELECT_SHAPE).fetchone() or ()
    tables = [table for (table,) in connection.execute(_SELECT_TABLES_WITH_BYTES)]
    return _Content(
        shape,
        {table: _rows(connection, table) for table in tables},
        connection.execute(_SELECT_SEQUENCES).fetchall(),
    )


def _rows(connection: Connection[Any], table: str) -> str:
    (rows,) = connection.execute(f"SELECT json_agg(t ORDER BY t::text)::text FROM {table} t").fetchone() or ()
    return str(rows or "[]")


def _restore(connection: Connection[Any], content: _Content) -> bool:
    """Give the tables the rows that `content` has, and say whether all else is as it was."""
    if connection.execute(_SELECT_SHAPE).fetchone() != (content.shape,):
        return False
    connection.execute("SET LOCAL session_replication_role = replica")  # no trigger fires
    with_bytes = [table for (table,) in connection.execute(_SELECT_TABLES_WITH_BYTES)]
    changed = [
        table
        for table in {*with_bytes, *content.rows}
        if table not in content.rows or _rows(connection, table) != content.rows[table]
    ]
    if changed:
        connection.execute(f"TRUNCATE {', '.join(changed)}")
    for table in content.rows.keys() & set(changed):
        connection.execute(
            f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s)",
            (content.rows[table],),
        )
    if connection.execute(_SELECT_SEQUENCES).fetchall() != content.sequences:
        for sequence, start, last in content.sequences:
            connection.execute("SELECT setval(%s, %s, %s)", (sequence, last or start, last is not None))
    return True
