"""Databases of other people: each works, or is refused by name on one line with a remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cli_calls import JOB_FAILED, Call
from psycopg import sql
from psycopg.conninfo import make_conninfo

import aerotile
from aerotile.adapters.composition import close_runtimes

SECTOR = "Сектор Nörd-Ä 北"
ALEMBIC = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"
OWN_PLACE = "give Aerotile a database of its own, or a schema that is the only one in its search_path"
NewDatabase = Callable[..., str]


@pytest.fixture
def new_database(postgres_server: Any) -> Iterator[NewDatabase]:
    """Make a database of an encoding, in which another program ran `statements`; returns the DSN."""
    names: list[str] = []

    def make(*statements: str, encoding: str = "UTF8", migrated: bool = False) -> str:
        names.append(postgres_server.create_database(encoding=encoding))
        dsn: str = postgres_server.dsn_of(names[-1])
        if migrated:
            aerotile.apply_migrations(aerotile.load_config(environment={"AEROTILE_DATABASE_DSN": dsn}))
        with psycopg.connect(dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(sql.SQL(statement).format(database=sql.Identifier(names[-1])))
        return dsn

    yield make
    close_runtimes()
    for name in names:
        postgres_server.drop_database(name)


@pytest.fixture
def tiles(tmp_path: Path, xyz_folder: Callable[..., Path]) -> Path:
    """A folder of tiles whose name has characters of several scripts."""
    return xyz_folder("плитки-Käse", count=2)


@pytest.fixture
def sectors(tmp_path: Path) -> Path:
    """A file with one sector, whose name has characters of several scripts."""
    file = tmp_path / "сектора.geojson"
    ring = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    feature = {
        "type": "Feature",
        "properties": {"sector_id": SECTOR, "classification": "stable_rear"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return file


def is_used_in_full(call: Call, dsn: str, sectors: Path, tiles: Path, **environment: str) -> None:
    """Go through what a mission needs of a database; fails where a command fails."""
    for command in (
        ["migrate"],
        ["sectors", "load", sectors],
        ["ingest", tiles, "--captured-at", "2026-05-01"],
        ["status"],
        ["verify"],
    ):
        result = call(*command, AEROTILE_DATABASE_DSN=dsn, **environment)
        assert (result.code, result.err) == (0, ""), command
    listed = call("sectors", "list", "--json", AEROTILE_DATABASE_DSN=dsn, **environment).json
    assert [sector["sector_id"] for sector in listed["sectors"]] == [SECTOR]
    assert len(call("dump", AEROTILE_DATABASE_DSN=dsn, **environment).json_lines) == 2


def is_refused(call: Call, dsn: str, tiles: Path, why: str, remedy: str, *commands: str) -> None:
    """Every way to the database ends with this reason and remedy."""
    for command in commands or ("migrate", "status", "ingest"):
        arguments = [tiles, "--captured-at", "2026-05-01"] if command == "ingest" else []
        result = call(command, *arguments, AEROTILE_DATABASE_DSN=dsn)
        assert result.code == JOB_FAILED
        assert result.err.count("\n") == 1, result.err
        assert why in result.err
        assert f" — {remedy}" in result.err
    if "ingest" in commands or not commands:
        config = aerotile.load_config(environment={"AEROTILE_DATABASE_DSN": dsn})
        with pytest.raises(aerotile.StoreUnavailableError) as refused:
            aerotile.build_tile_store(config)
        assert why in str(refused.value)
        assert (refused.value.remedy or "").startswith(remedy)


@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII"])
def test_an_encoding_that_holds_every_text_serves(
    call: Call, new_database: NewDatabase, sectors: Path, tiles: Path, encoding: str
) -> None:
    is_used_in_full(call, new_database(encoding=encoding), sectors, tiles)


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1251", "EUC_JP"])
def test_an_encoding_that_lacks_characters_is_refused_before_one_is_needed(
    call: Call, new_database: NewDatabase, tiles: Path, encoding: str
) -> None:
    dsn = new_database(encoding=encoding)
    is_refused(call, dsn, tiles, f" has the encoding {encoding}, ", "create a database with ENCODING 'UTF8'")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_neither_the_environment_nor_the_dsn_decides_how_text_travels(
    call: Call, new_database: NewDatabase, sectors: Path, tiles: Path, encoding: str
) -> None:
    dsn = make_conninfo(new_database(), client_encoding=encoding)
    is_used_in_full(call, dsn, sectors, tiles, PGCLIENTENCODING=encoding)


def test_styles_of_the_environment_and_of_the_database_do_not_matter(
    call: Call, new_database: NewDatabase, sectors: Path, tiles: Path
) -> None:
    dsn = new_database("ALTER DATABASE {database} SET IntervalStyle TO 'sql_standard'")
    is_used_in_full(call, dsn, sectors, tiles, PGDATESTYLE="German", PGOPTIONS="-c extra_float_digits=-3")


def test_a_text_of_another_program_that_is_not_utf_8_is_named(
    call: Call, new_database: NewDatabase, tiles: Path
) -> None:
    dsn = new_database(
        "SET client_encoding TO 'SQL_ASCII'",
        "INSERT INTO sector_classifications VALUES (E'N\\xf6rd', 'stable_rear', NULL)",
        encoding="SQL_ASCII",
        migrated=True,
    )
    why = 'reading the sectors failed: invalid byte sequence for encoding "UTF8"'
    is_refused(call, dsn, tiles, why, "another program wrote text that is not UTF-8", "status", "ingest")


@pytest.mark.parametrize(
    "statements",
    [
        (ALEMBIC, "INSERT INTO alembic_version VALUES ('ae1027a6acf2')"),
        (ALEMBIC, "INSERT INTO alembic_version VALUES ('ae1027a6acf2'), ('0b1c5d5e6f70')"),
        (ALEMBIC, "INSERT INTO alembic_version VALUES ('0001')"),
        (ALEMBIC, "INSERT INTO alembic_version VALUES ('0008')", "CREATE TABLE tiles (id int, png bytea)"),
        (ALEMBIC, "INSERT INTO alembic_version VALUES ('head')"),
        (ALEMBIC, "INSERT INTO alembic_version VALUES ('')"),
        ("CREATE TABLE alembic_version (version_num int)", "INSERT INTO alembic_version VALUES (1)"),
        ("CREATE TABLE alembic_version (revision text)",),
    ],
    ids=["foreign", "two-heads", "first-of-ours", "last-of-ours", "symbol", "empty", "number", "column"],
)
def test_a_database_that_another_program_has_migrated_is_refused_and_stays_as_it_is(
    call: Call, new_database: NewDatabase, tiles: Path, statements: tuple[str, ...]
) -> None:
    dsn = new_database(*statements)
    is_refused(call, dsn, tiles, "has been migrated by another program", OWN_PLACE)
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (sum("CREATE TABLE" in statement for statement in statements),)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE TABLE tiles (id int, png bytea)", 'relation "tiles"'),
        ("CREATE VIEW tiles AS SELECT 1 AS id", 'relation "tiles"'),
        ("CREATE TABLE uploads (id int)", 'relation "uploads"'),
        ("CREATE FUNCTION notify_of_tile() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function"),
    ],
)
def test_a_name_that_another_program_uses_is_refused_and_nothing_is_migrated(
    call: Call, new_database: NewDatabase, tiles: Path, statement: str, name: str
) -> None:
    dsn = new_database(statement)
    is_refused(call, dsn, tiles, f"failed: {name}", "that name is another program's here", "migrate")
    is_refused(call, dsn, tiles, "is at revision none", "run `aerotile migrate`", "status", "ingest")


def test_a_schema_of_its_own_serves_beside_another_programs_tables(
    call: Call, new_database: NewDatabase, sectors: Path, tiles: Path
) -> None:
    dsn = new_database(
        ALEMBIC,
        "INSERT INTO alembic_version VALUES ('ae1027a6acf2')",
        "CREATE TABLE tiles (id int)",
        'CREATE SCHEMA "Навигация"',
    )
    both = make_conninfo(dsn, options='-c search_path="Навигация",public')
    is_refused(call, both, tiles, "has been migrated by another program", OWN_PLACE)
    is_used_in_full(call, make_conninfo(dsn, options='-c search_path="Навигация"'), sectors, tiles)


def test_a_schema_that_is_missing_is_named_as_the_reason(
    call: Call, new_database: NewDatabase, tiles: Path
) -> None:
    dsn = make_conninfo(new_database(), options="-c search_path=nowhere")
    is_refused(
        call, dsn, tiles, "no schema has been selected", "create the schema that search_path names", "migrate"
    )
    is_refused(call, dsn, tiles, "is at revision none", "run `aerotile migrate`", "status", "ingest")


def test_a_database_that_may_only_be_read_is_read(
    call: Call, new_database: NewDatabase, sectors: Path, tiles: Path
) -> None:
    lock = "ALTER DATABASE {database} SET default_transaction_read_only TO on"
    remedy = "let this database be written: "
    empty = new_database(lock)
    is_refused(call, empty, tiles, "in a read-only transaction", remedy, "migrate")
    full = new_database(lock, migrated=True)
    for command in ("migrate", "status", "dump", "verify"):
        assert call(command, AEROTILE_DATABASE_DSN=full).code == 0
    result = call("ingest", tiles, "--captured-at", "2026-05-01", AEROTILE_DATABASE_DSN=full)
    assert result.code == JOB_FAILED
    assert result.err.splitlines()[-1].startswith("error: ")
    assert "read-only transaction" in result.err.splitlines()[-1]
    assert remedy in result.err.splitlines()[-1]


def test_a_role_without_rights_is_told_which_it_lacks(
    call: Call, new_database: NewDatabase, tiles: Path
) -> None:
    give = "give the role the right to create and use tables in this database"
    as_role = "options='-c role=pg_monitor'"  # a role that every server has, without rights on tables
    empty = new_database("REVOKE CREATE ON SCHEMA public FROM public")
    is_refused(call, f"{empty} {as_role}", tiles, "permission denied for schema public", give, "migrate")
    full = f"{new_database(migrated=True)} {as_role}"
    is_refused(call, full, tiles, "permission denied for table alembic_version", give)
