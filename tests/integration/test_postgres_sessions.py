"""A session with the database: what its limits end, and what the defaults of its server can't change."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone

import attrs
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.errors import StoreUnavailableError, TileMetadataError
from aerotile.domain.values.tiles import TileId, TileSource

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
METADATA = example_metadata(TileId(3, 1, 2, TileSource.IMPORTED), b"a" * 10, captured_at=NOW)


def test_a_write_that_waits_too_long_for_another_gives_up_and_leaves_no_trace(migrated_database: str) -> None:
    with (
        Database(migrated_database) as patient,
        Database(migrated_database, statement_timeout_s=0.2) as hasty,
    ):
        rows = PostgresTileRows(hasty)
        with PostgresTileRows(patient).insert(METADATA, NOW) as row:
            row.finish_insert()
            with (
                pytest.raises(StoreUnavailableError, match="statement timeout"),
                rows.insert(METADATA, NOW) as beside,
            ):
                beside.finish_insert()
            row.commit()
        assert PostgresTileMetadataStore(patient).total_disk_bytes() == 10


def test_a_value_that_the_database_cannot_hold_is_the_values_fault(migrated_database: str) -> None:
    impossible = attrs.evolve(METADATA, disk_bytes=2**63)
    with Database(migrated_database) as database:
        rows, store = PostgresTileRows(database), PostgresTileMetadataStore(database)
        with pytest.raises(TileMetadataError, match="out of range"):
            store.insert_metadata(impossible)
        with (
            pytest.raises(TileMetadataError, match="out of range"),
            rows.insert_many([impossible], NOW) as batch,
        ):
            batch.finish_insert()
        store.insert_metadata(METADATA)
        assert store.total_disk_bytes() == 10


def test_settings_of_the_server_do_not_weaken_a_session(migrated_database: str) -> None:
    name = conninfo_to_dict(migrated_database)["dbname"]
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        for setting in (
            "synchronous_commit TO off",
            "default_transaction_isolation TO serializable",
            "TimeZone TO 'Asia/Kathmandu'",
            "DateStyle TO 'German, YMD'",
            "IntervalStyle TO 'iso_8601'",
            "extra_float_digits TO -3",
            "array_nulls TO off",
            "statement_timeout TO 1",
        ):
            connection.execute(f"ALTER DATABASE {name} SET {setting}")
    with Database(migrated_database, statement_timeout_s=7) as database:
        (found,) = database.fetch_all(
            "reading the settings",
            """
            SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation'),
                   current_setting('TimeZone'), current_setting('statement_timeout'),
                   timestamptz '2026-05-01 00:00Z', interval '180 days', float8 '0.1' + float8 '0.2',
                   '{NULL}'::text[]
            """,
        )
        assert found[:4] == ("on", "read committed", "UTC", "7s")
        assert found[4:] == (NOW, timedelta(days=180), 0.1 + 0.2, [None])


def test_a_stricter_durability_of_the_server_is_kept(migrated_database: str) -> None:
    name = conninfo_to_dict(migrated_database)["dbname"]
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit TO remote_apply")
    with Database(migrated_database) as database:
        assert database.fetch_all("reading", "SHOW synchronous_commit") == [("remote_apply",)]


def test_a_host_that_vanishes_is_noticed_soon_unless_the_dsn_says_otherwise(migrated_database: str) -> None:
    with Database(migrated_database) as database, database.connection() as connection:
        assert connection.info.get_parameters()["keepalives_idle"] == "5"
        assert connection.info.get_parameters()["tcp_user_timeout"] == "15000"
    own = make_conninfo(migrated_database, keepalives_idle=77)
    with Database(own) as database, database.connection() as connection:
        assert connection.info.get_parameters()["keepalives_idle"] == "77"


def test_a_role_that_may_not_write_is_told_what_it_lacks(migrated_database: str) -> None:
    name = f"reader_{conninfo_to_dict(migrated_database)['dbname']}"
    with psycopg.connect(migrated_database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN")
        admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
        try:
            with Database(make_conninfo(migrated_database, options=f"-c role={name}")) as database:
                store = PostgresTileMetadataStore(database)
                assert store.total_disk_bytes() == 0
                with pytest.raises(
                    StoreUnavailableError, match="permission denied for table tiles"
                ) as refused:
                    store.insert_metadata(METADATA)
                assert "give the role the right" in (refused.value.remedy or "")
        finally:
            admin.execute(f"DROP OWNED BY {name}")
            admin.execute(f"DROP ROLE {name}")


def test_a_database_knows_the_sessions_that_it_made_itself(migrated_database: str) -> None:
    with Database(migrated_database) as database, Database(migrated_database) as other:
        with database.connection() as pooled, closing(database.connect_once()) as single:
            own = {pooled.pgconn.backend_pid, single.pgconn.backend_pid}
        with other.connection() as foreign:
            other_pid = foreign.pgconn.backend_pid
        assert database.owns(own)
        assert not database.owns({*own, other_pid})
        assert not other.owns(own)
