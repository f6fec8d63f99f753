"""Databases of every revision, with rows as each revision had them."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from uuid import UUID

import psycopg
from alembic import command
from alembic.config import Config
from psycopg.rows import dict_row
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

REVISIONS = tuple(f"{number:04}" for number in range(1, 14))
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

ROWS_OF_0009 = (
    """
    UPDATE sector_classifications SET shape = '{
        "type": "Polygon", "bbox": [-1.5, 2, 3, 4],
        "coordinates": [[[-1.5, 2], [3, 2], [3, 4], [-1.5, 4], [-1.5, 2]]]
    }'
    WHERE sector_id = 'front'
    """,
)

ROWS_OF_0011 = (
    f"""
    INSERT INTO datasets VALUES (
        'ortho-2025', 'CC-BY-4.0', 'Survey Office', true, 'ortho.tif', '{HASH}', 'file', '2025-01-01Z',
        'by hand'
    )
    """,
    "UPDATE tiles SET dataset = 'ortho-2025' WHERE id = 1",
)

ADDED_AT = dict.fromkeys(REVISIONS, ()) | {
    "0001": ROWS_OF_0001,
    "0002": ROWS_OF_0002,
    "0003": ROWS_OF_0003,
    "0004": ROWS_OF_0004,
    "0005": ROWS_OF_0005,
    "0009": ROWS_OF_0009,
    "0011": ROWS_OF_0011,
}


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
