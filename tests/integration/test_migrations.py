"""Migrations on a real server: from every revision with rows in place, up and down, alone and in company."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import resources
from typing import Any
from uuid import UUID

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg.rows import dict_row
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.metadata_store import PostgresTileMetadataStore
from aerotile.adapters.postgres.migrate import apply_migrations, check_revision, revert_migrations
from aerotile.adapters.postgres.queries import MIGRATION_LOCK
from aerotile.adapters.postgres.rows import PostgresTileRows
from aerotile.adapters.postgres.sector_store import PostgresSectorStore
from aerotile.domain.errors import (
    ConfigurationError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
)
from aerotile.domain.identity import derive_location_hash, derive_tile_id
from aerotile.domain.sectors import SEEDED_RULES
from aerotile.domain.tiles import FreshnessLabel, TileId, TileSource

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
HEAD = REVISIONS[-1]
FLIGHT = UUID(int=7)
HASH = "ab" * 32

ROWS_OF_0001 = (
    """
    INSERT INTO tiles (zoom_level, x, y, source, flight_id, captured_at, freshness_status, voting_status,
                       tile_size_pixels, ground_sample_distance, horizontal_error_m, inlier_count,
                       mean_reprojection_error_px, sharpness, created_at)
    VALUES
        (18, 152345, 90123, 'satellite_provider', NULL, '2025-01-02T03:04:05.678901+03', 'fresh', NULL,
         256, 0.59, NULL, NULL, NULL, NULL, '2025-06-01Z'),
        (18, 152345, 90123, 'onboard', '7d444840-9dc0-11d1-b245-5ffdce74fad2', '2025-02-01Z', 'stale',
         'trusted', 512, 0.3, 2.5, 41, 0.75, 123.5, '2025-06-02Z'),
        (18, 152345, 90123, 'onboard', '00000000-0000-0000-0000-000000000007', '2025-02-01Z', 'fresh',
         'rejected', 256, 0.59, NULL, NULL, NULL, NULL, '2025-06-03Z'),
        (0, 0, 0, 'imported', NULL, '2025-03-01Z', 'unknown', 'pending',
         256, 156543.03, NULL, NULL, NULL, NULL, '2025-06-04Z')
    """,
    "INSERT INTO sector_classifications VALUES ('front', 'active_conflict'), ('rear', 'stable_rear')",
)
ROWS_OF_0002 = (
    f"""
    UPDATE tiles SET content_sha256 = '{HASH}', disk_bytes = 1000 * id, accessed_at = '2025-07-01Z',
                     uploaded_at = '2025-08-01Z', freshness_status = 'downgraded'
    WHERE source = 'onboard'
    """,
    """
    UPDATE sector_classifications SET min_lat = 1, min_lon = 2, max_lat = 3, max_lon = 4
    WHERE sector_id = 'front'
    """,
    """
    UPDATE tile_freshness_rules SET max_age = interval '30 days' WHERE classification = 'active_conflict'
    """,
)
ROWS_OF_0003 = ("UPDATE tiles SET upload_attempts = 5, voting_status = 'upload_giveup' WHERE id = 2",)
ROWS_OF_0004 = ("UPDATE tiles SET pinned = true WHERE id = 1",)
ROWS_OF_0005 = (
    f"""
    INSERT INTO uploads (tile_uuid, generation, attempt, event, request_id, content_sha256, happened_at)
    SELECT tile_uuid, 1, 1, 'sent', '{FLIGHT}', '{HASH}', '2025-09-01Z' FROM tiles WHERE id = 2
    """,
    "INSERT INTO vote_cursors VALUES ('https://provider.example', '17', '2025-09-01Z')",
)
ADDED_AT = dict(
    zip(
        REVISIONS,
        (ROWS_OF_0001, ROWS_OF_0002, ROWS_OF_0003, ROWS_OF_0004, ROWS_OF_0005, (), (), ()),
        strict=True,
    )
)


def upgrade_without_the_runner(dsn: str, revision: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)
    with closing(engine.connect()) as connection:
        config = Config()
        config.set_main_option("script_location", "aerotile:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        config.attributes["on_version_apply"] = lambda **_: None
        command.upgrade(config, revision)
        connection.commit()


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn) as connection:
        for statement in statements:
            connection.execute(statement)


def select(dsn: str, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        return connection.execute(query).fetchall()


def tables(dsn: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of ours, by table."""
    names = select(
        dsn,
        """
        SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY tablename
        """,
    )
    return {row["tablename"]: select(dsn, f"SELECT * FROM {row['tablename']} ORDER BY 1") for row in names}


def fill(dsn: str, revision: str) -> None:
    """Go up to `revision`, adding at each one on the way rows that only it could hold."""
    for step in REVISIONS[: REVISIONS.index(revision) + 1]:
        upgrade_without_the_runner(dsn, step)
        execute(dsn, *ADDED_AT[step])


def revision_of(dsn: str) -> str:
    (row,) = select(dsn, "SELECT version_num FROM alembic_version")
    return str(row["version_num"])


def test_an_empty_database_goes_up_to_the_newest_revision_and_stays_there(empty_database: str) -> None:
    first = apply_migrations(empty_database)
    assert (first.before, first.after, first.applied) == (None, HEAD, REVISIONS)
    again = apply_migrations(empty_database)
    assert (again.before, again.after, again.applied) == (HEAD, HEAD, ())
    check_revision(empty_database)


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_row_is_intact_after_going_up_from_any_revision(empty_database: str, revision: str) -> None:
    fill(empty_database, revision)
    before = tables(empty_database)
    report = apply_migrations(empty_database)
    assert report.before == revision
    assert report.applied == REVISIONS[REVISIONS.index(revision) + 1 :]
    after = tables(empty_database)
    for table, rows in before.items():
        assert [
            {name: new[name] for name in old} for old, new in zip(rows, after[table], strict=True)
        ] == rows


def test_the_identity_of_old_rows_is_derived_as_the_domain_does(empty_database: str) -> None:
    fill(empty_database, "0001")
    apply_migrations(empty_database)
    rows = select(empty_database, "SELECT * FROM tiles ORDER BY id")
    for row in rows:
        place = row["zoom_level"], row["x"], row["y"]
        assert row["tile_uuid"] == derive_tile_id(*place, row["source"], row["flight_id"])
        assert row["location_hash"] == derive_location_hash(*place)
    assert str(rows[0]["tile_uuid"]) == "f7c6a3b0-c799-5ec8-b9ed-7b94a77b6ddf"
    assert str(rows[1]["tile_uuid"]) == "fc29fd9c-1c0a-53ef-8b46-0df12ce73f18"
    assert str(rows[3]["location_hash"]) == "e59149ef-664b-5559-a13c-435133448c28"


def test_more_old_rows_than_one_batch_holds_are_all_given_an_identity(empty_database: str) -> None:
    upgrade_without_the_runner(empty_database, "0001")
    execute(
        empty_database,
        """
        INSERT INTO tiles
            (id, zoom_level, x, y, source, captured_at, tile_size_pixels, ground_sample_distance)
        SELECT n - 6000, 20, n, n / 7, 'imported', now(), 256, 1.0 FROM generate_series(1, 12001) AS n
        """,
    )
    apply_migrations(empty_database)
    (found,) = select(
        empty_database,
        "SELECT count(*), count(DISTINCT tile_uuid) AS named, min(id) AS first FROM tiles",
    )
    assert found == {"count": 12001, "named": 12001, "first": -5999}


def test_rows_of_the_first_revision_are_read_once_their_files_are_known(empty_database: str) -> None:
    fill(empty_database, "0001")
    apply_migrations(empty_database)
    with Database(empty_database) as database:
        rows, store = PostgresTileRows(database), PostgresTileMetadataStore(database)
        assert list(rows.committed()) == []
        assert store.lru_candidates(10) == store.pending_uploads(10) == []
        old = list(rows.incomplete())
        assert old[0] == TileId(18, 152345, 90123, TileSource.SATELLITE_PROVIDER)
        for tile_id in old:
            rows.complete(tile_id, HASH, 100)
        labels = {str(tile.tile_id.source.value): tile.freshness_label for tile in rows.committed()}
        assert labels["satellite_provider"] is FreshnessLabel.FRESH
        assert labels["imported"] is FreshnessLabel.DOWNGRADED
        stale = store.get_by_id(old[1])
        assert stale is not None
        assert stale.freshness_label is FreshnessLabel.DOWNGRADED
        assert stale.quality is not None
        assert stale.quality.inlier_count == 41
        assert store.total_disk_bytes() == 400
        assert len(store.lru_candidates(10)) == 2
        sectors = PostgresSectorStore(database)
        with pytest.raises(ConfigurationError, match="front"):  # revision 0001 knew no boxes
            sectors.sectors()
        assert sectors.rules() == SEEDED_RULES


def test_the_total_starts_as_the_sum_of_the_rows(empty_database: str) -> None:
    fill(empty_database, "0003")
    apply_migrations(empty_database)
    assert select(empty_database, "SELECT total_bytes FROM disk_usage") == [{"total_bytes": 5000}]


def test_two_rows_of_one_tile_stop_the_second_revision_and_nothing_changes(empty_database: str) -> None:
    fill(empty_database, "0001")
    for x in (9, 5, 5, 7, 3):
        execute(
            empty_database,
            *[
                f"""
                INSERT INTO tiles
                    (zoom_level, x, y, source, captured_at, tile_size_pixels, ground_sample_distance)
                VALUES (4, {x}, 0, 'imported', now(), 256, 1.0)
                """
            ]
            * 2,
        )
    before = tables(empty_database)
    with pytest.raises(TileMetadataError) as refused:
        apply_migrations(empty_database)
    message = str(refused.value)
    assert "imported/4/3/0 (2 rows), imported/4/5/0 (4 rows), imported/4/7/0 (2 rows) and 1 more" in message
    assert "\n" not in message
    assert revision_of(empty_database) == "0001"
    assert tables(empty_database) == before


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_are_as_before_after_going_up_and_back_down(empty_database: str, revision: str) -> None:
    fill(empty_database, revision)
    before = tables(empty_database)
    apply_migrations(empty_database)
    assert revert_migrations(empty_database, revision) == REVISIONS[: REVISIONS.index(revision) : -1]
    assert revision_of(empty_database) == revision
    assert tables(empty_database) == before
    apply_migrations(empty_database)


def test_a_downgraded_tile_is_called_stale_at_the_first_revision(empty_database: str) -> None:
    fill(empty_database, "0001")
    apply_migrations(empty_database)
    execute(empty_database, "UPDATE tiles SET freshness_status = 'downgraded' WHERE id = 1")
    revert_migrations(empty_database, "0001")
    assert select(empty_database, "SELECT freshness_status FROM tiles WHERE id = 1") == [
        {"freshness_status": "stale"}
    ]


@pytest.mark.parametrize(
    ("use", "revision", "named"),
    [
        (ROWS_OF_0005[0], "0004", "the upload ledger would be lost; rows: 1"),
        ("UPDATE tiles SET pinned = true WHERE id = 1", "0003", "pins would be lost; rows: 1"),
        ("UPDATE tiles SET voting_status = 'upload_giveup'", "0002", "upload_giveup would be lost; rows: 4"),
        (
            "UPDATE tiles SET upload_attempts = 1 WHERE id = 2",
            "0002",
            "counted upload attempts would be lost; rows: 1",
        ),
        (
            f"UPDATE tiles SET content_sha256 = '{HASH}' WHERE id = 2",
            "0001",
            "content or upload would be lost; rows: 1",
        ),
        (
            "UPDATE tiles SET uploaded_at = now() WHERE id = 2",
            "0001",
            "content or upload would be lost; rows: 1",
        ),
        (ROWS_OF_0002[1], "0001", "boxes of sectors would be lost; rows: 1"),
        (ROWS_OF_0002[2], "0001", "rules that differ .* would be lost; rows: 1"),
        ("SELECT 1", "base", "table tiles would be lost; rows: 4"),
    ],
)
def test_a_way_down_that_would_lose_something_is_refused_and_nothing_changes(
    empty_database: str, use: str, revision: str, named: str
) -> None:
    fill(empty_database, "0001")
    apply_migrations(empty_database)
    execute(empty_database, use)
    before = tables(empty_database)
    with pytest.raises(TileCacheError, match=named):
        revert_migrations(empty_database, revision)
    assert revision_of(empty_database) == HEAD
    assert tables(empty_database) == before


def test_an_empty_database_goes_all_the_way_down(empty_database: str) -> None:
    apply_migrations(empty_database)
    revert_migrations(empty_database, "base")
    assert tables(empty_database) == {}


@contextmanager
def migration_lock_held(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s, %s)", MIGRATION_LOCK)
        yield holder


def test_of_runners_at_once_one_migrates_and_the_others_find_it_done(empty_database: str) -> None:
    program = (
        "import sys; from aerotile.adapters.postgres.migrate import apply_migrations; "
        "print(','.join(apply_migrations(sys.stdin.read()).applied))"
    )
    runners = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    with migration_lock_held(empty_database) as holder:
        for runner in runners:
            assert runner.stdin is not None
            runner.stdin.write(empty_database)
            runner.stdin.close()
            runner.stdin = None
        waiting = 0
        while waiting < len(runners):  # pytest's timeout ends a wait in vain
            row = holder.execute(
                """
                SELECT count(*) FROM pg_locks
                WHERE locktype = 'advisory' AND NOT granted
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                """
            ).fetchone()
            assert row is not None
            waiting = row[0]
    outputs = sorted(runner.communicate()[0].strip() for runner in runners)
    assert outputs == ["", "", "", ",".join(REVISIONS)]
    assert [runner.returncode for runner in runners] == [0] * 4


FAILING_TRIGGER = (
    "CREATE SEQUENCE tries",
    """
    CREATE FUNCTION fail_first() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('tries') <= TG_ARGV[0]::int THEN
            RAISE EXCEPTION 'another transaction was first' USING ERRCODE = '40001';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER fail_first AFTER UPDATE ON tiles
    FOR EACH STATEMENT EXECUTE FUNCTION fail_first('{times}')
    """,
)


def make_updates_of_tiles_fail(dsn: str, times: int) -> None:
    """The first `times` updates of `tiles` end in a serialization failure; a sequence survives rollbacks."""
    execute(dsn, *(statement.replace("{times}", str(times)) for statement in FAILING_TRIGGER))


def test_a_serialization_failure_is_tried_once_more(empty_database: str) -> None:
    fill(empty_database, "0001")
    make_updates_of_tiles_fail(empty_database, times=1)
    assert apply_migrations(empty_database).applied == REVISIONS[1:]
    assert select(empty_database, "SELECT count(tile_uuid) FROM tiles") == [{"count": 4}]


def test_a_second_serialization_failure_is_the_end_and_nothing_changes(empty_database: str) -> None:
    fill(empty_database, "0001")
    make_updates_of_tiles_fail(empty_database, times=2)
    before = select(empty_database, "SELECT * FROM tiles ORDER BY id")
    with pytest.raises(StoreUnavailableError, match="another transaction was first"):
        apply_migrations(empty_database)
    assert revision_of(empty_database) == "0001"
    assert select(empty_database, "SELECT * FROM tiles ORDER BY id") == before


def test_a_database_that_is_newer_than_the_program_is_refused_on_one_line(migrated_database: str) -> None:
    execute(migrated_database, "UPDATE alembic_version SET version_num = '0099'")
    before = tables(migrated_database)
    for use in (apply_migrations, check_revision):
        with pytest.raises(StoreUnavailableError, match="revision 0099, which is newer") as refused:
            use(migrated_database)
        assert "\n" not in str(refused.value)
        assert "newer" in (refused.value.remedy or "")
    assert tables(migrated_database) == before


@pytest.mark.parametrize("revision", [None, "0003"])
def test_a_database_that_lacks_a_migration_is_told_to_migrate(
    empty_database: str, revision: str | None
) -> None:
    if revision is not None:
        upgrade_without_the_runner(empty_database, revision)
    with pytest.raises(StoreUnavailableError, match=f"at revision {revision or 'none'}") as refused:
        check_revision(empty_database)
    assert "aerotile migrate" in (refused.value.remedy or "")


def test_a_run_says_what_it_did_and_leaves_logging_as_it_was(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with caplog.at_level(logging.INFO, logger="aerotile"):
        apply_migrations(empty_database)
        apply_migrations(empty_database)
    assert [record.name for record in caplog.records] == ["aerotile.migrate"] * 2
    assert caplog.messages[0].startswith(f"applied {', '.join(REVISIONS)}; database aerotile_test_")
    assert caplog.messages[1].startswith("nothing to do; database aerotile_test_")
    assert all(message.endswith(f"is at revision {HEAD}") for message in caplog.messages)
    assert (root.level, list(root.handlers)) == before
    assert not logging.getLogger("aerotile").disabled


def test_a_server_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(StoreUnavailableError) as refused:
        apply_migrations("postgresql://pilot:s3cr3tword@127.0.0.1:1/tiles")
    assert str(refused.value).startswith("database tiles at 127.0.0.1:1 does not answer: ")
    assert "\n" not in str(refused.value)
    assert "s3cr3tword" not in str(refused.value)
    with pytest.raises(ConfigurationError):
        apply_migrations("postgresql://pilot:s3cr3t%word@127.0.0.1/tiles")


CATALOGS = {
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
               a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid) AS "default"
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
            AND NOT a.attisdropped AND c.relname <> 'alembic_version'
        ORDER BY 1, 2
    """,
    "constraints": """
        SELECT conrelid::regclass::text AS "table", conname, pg_get_constraintdef(oid) AS definition
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
            AND contype <> 'n' -- named by the server; columns have attnotnull
        ORDER BY 1, 2
    """,
    "indexes": """
        SELECT indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1
    """,
    "everything else": r"""
        SELECT relkind::text, relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('i', 'r')
        UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'function', regexp_replace(pg_get_functiondef(oid), '\s+', ' ', 'g')
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ORDER BY 1, 2
    """,
}


def described(dsn: str) -> dict[str, Any]:
    catalogs: dict[str, Any] = {what: select(dsn, query) for what, query in CATALOGS.items()}
    # A dropped and added column moves to the end in one and not in the other; their order is all that counts.
    for place, column in enumerate(catalogs["columns"]):
        column["attnum"] = place
    return catalogs


def test_migrations_make_exactly_the_declared_schema_and_its_first_rows(
    empty_database: str, migrated_database: str
) -> None:
    declared = resources.files("aerotile.adapters.postgres").joinpath("schema.sql").read_text()
    execute(empty_database, declared)
    assert described(migrated_database) == described(empty_database)
    migrated, declared_rows = tables(migrated_database), tables(empty_database)
    for rows in (migrated, declared_rows):
        assert isinstance(rows["disk_usage"][0].pop("store_id"), UUID)  # no two databases have the same
    assert migrated == declared_rows


def test_going_down_and_up_makes_the_declared_schema_too(empty_database: str, migrated_database: str) -> None:
    apply_migrations(empty_database)
    revert_migrations(empty_database, "0001")
    apply_migrations(empty_database)
    assert described(empty_database) == described(migrated_database)
