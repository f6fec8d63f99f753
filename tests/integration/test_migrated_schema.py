"""What migrations make is the declared schema, to the last constraint."""

from __future__ import annotations

from importlib import resources
from typing import Any
from uuid import UUID

from old_databases import execute, select, tables
from reverted_migrations import revert_migrations

from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.adapters.postgres.queries import SELECT_MARKED_MISSING

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


def test_the_search_for_rows_without_a_file_looks_at_no_other_row(migrated_database: str) -> None:
    execute(
        migrated_database,
        """
        INSERT INTO tiles (tile_uuid, zoom_level, x, y, source, captured_at, tile_size_pixels,
            ground_sample_distance, freshness_status)
        SELECT gen_random_uuid(), 12, x, 0, 'imported', now(), 256, 1, 'fresh'
        FROM generate_series(0, 2000) AS x
        """,
        "ANALYZE tiles",
    )
    plan = select(migrated_database, f"EXPLAIN {SELECT_MARKED_MISSING}")
    assert "ix_tiles_file_missing" in plan[0]["QUERY PLAN"]
