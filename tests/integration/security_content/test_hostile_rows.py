"""Hostile rows of the database: they crash nothing and lead nowhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from hostile_content import STEERING, TOKEN, Answer

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.loader import load_config

SECTOR = "INSERT INTO sector_classifications VALUES"
DATASET = "INSERT INTO datasets VALUES"
ENDLESS_BOX = '{"type": "Polygon", "bbox": [1e400, -91, 181]}'
POLYGON_OF_TEXTS = '{"type": "Polygon", "coordinates": [[["1", 2], [3]]]}'
ROWS = {
    "a source that is a path": "UPDATE tiles SET source = '../../../etc', flight_id = NULL",
    "a place off the grid": "UPDATE tiles SET x = 2147483647, y = id - 2147483648",
    "a zoom that there is not": "UPDATE tiles SET zoom_level = -32768",
    "an onboard tile without its flight": "UPDATE tiles SET flight_id = NULL",
    "a hash that is a path": "UPDATE tiles SET content_sha256 = '../../../../etc/shadow'",
    "a hash in capitals": "UPDATE tiles SET content_sha256 = upper(content_sha256)",
    "a negative size": "UPDATE tiles SET disk_bytes = -9223372036854775808",
    "a size beyond measure": "UPDATE tiles SET disk_bytes = 9223372036854775807",
    "a time beyond measure": "UPDATE tiles SET captured_at = 'infinity', accessed_at = '-infinity'",
    "a resolution that is none": "UPDATE tiles SET ground_sample_distance = 'NaN', tile_size_pixels = -1",
    "quality that is none": "UPDATE tiles SET horizontal_error_m = '-infinity', inlier_count = -1,"
    " mean_reprojection_error_px = 'NaN', sharpness = 'NaN'",
    "a vote that steers": f"UPDATE tiles SET voting_status = E'{STEERING}'",
    "attempts below none": "UPDATE tiles SET upload_attempts = -2147483648",
    "another identity": "UPDATE tiles SET tile_uuid = gen_random_uuid()",
    "a total below none": "UPDATE disk_usage SET total_bytes = -1",
    "no total": "DELETE FROM disk_usage",
    "another store": "UPDATE disk_usage SET store_id = gen_random_uuid()",
    "a sector that steers": f"{SECTOR} (E'{STEERING}', 'active_conflict', '{ENDLESS_BOX}')",
    "a sector that is a list": f"{SECTOR} ('a', 'stable_rear', '[[1]]')",
    "a sector of texts": f"{SECTOR} ('a', 'stable_rear', '{POLYGON_OF_TEXTS}')",
    "a rule that is none": "UPDATE tile_freshness_rules SET max_age = interval '-1000000 years'",
    "no rules": "DELETE FROM tile_freshness_rules",
    "an upload that steers": "INSERT INTO uploads (tile_uuid, generation, attempt, event, request_id,"
    " content_sha256, reason_code, reason_detail, happened_at) SELECT tile_uuid, -1, -1, 'rejected', NULL,"
    f" '', E'{STEERING}', E'{STEERING}\\n' || repeat('x', 100000), 'infinity' FROM tiles",
    "a dataset that steers": f"{DATASET} (E'{STEERING}', E'{STEERING}', '', true, '', '', 'x', NULL, '')",
    "a dataset of another time": f"{DATASET} ('a', 'b', 'c', true, 'd', repeat('0', 64), 'file',"
    " 'infinity', 'e')",
    "a tile of a dataset that steers": f"UPDATE tiles SET dataset = E'{STEERING}'",
    "a revision that is a path": "UPDATE alembic_version SET version_num = '../../../etc/passwd'",
}

UNCHECKED = """
    DO $$
    DECLARE found record;
    BEGIN
        FOR found IN SELECT conrelid::regclass AS held_by, conname FROM pg_constraint
            WHERE contype = 'c' AND connamespace = 'public'::regnamespace
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.held_by, found.conname);
        END LOOP;
    END $$
"""

COMMANDS = [
    ("sectors", "list"),
    ("datasets", "list"),
    ("uploads",),
    ("dump",),
    ("upload",),
    ("verify", "--repair"),
    ("delete", "onboard/7d444840-9dc0-11d1-b245-5ffdce74fad2/18/1/90123"),
    ("migrate",),
]

TABLES = (
    "datasets",
    "tiles",
    "sector_classifications",
    "tile_freshness_rules",
    "disk_usage",
    "uploads",
    "vote_cursors",
    "alembic_version",
)


def save_tables(connection: psycopg.Connection) -> None:
    for table in TABLES:
        connection.execute(f"CREATE TABLE saved_{table} AS SELECT * FROM {table}")


def restore_tables(connection: psycopg.Connection) -> None:
    for table in TABLES:
        connection.execute(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}")


def test_hostile_rows_crash_nothing_and_lead_nowhere(
    call: Callable[..., Answer],
    migrated_database: str,
    onboard_tile: Callable[..., Any],
    tmp_path: Path,
) -> None:
    with Runtime(load_config()) as runtime:
        for outcome in runtime.tile_store.write_tiles([onboard_tile(x) for x in range(2)]):
            assert outcome.error is None
    others = tmp_path / "others"
    others.mkdir()
    (others / "precious.jpg").write_bytes(b"keep me")
    shutil.copytree("aerotile-data", "saved")
    environment = {
        "AEROTILE_UPLOAD_URL": "http://127.0.0.1:1",
        "AEROTILE_UPLOAD_TOKEN": TOKEN,
        "AEROTILE_UPLOAD_MAX_IN_CALL_RETRIES": "0",
    }
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(UNCHECKED)
        save_tables(connection)
        for name, damage in ROWS.items():
            connection.execute(damage)
            for command in COMMANDS:
                answer = call(*command, **environment)
                assert answer.is_orderly, (name, command, answer)
            assert {path.name for path in tmp_path.iterdir()} == {"aerotile-data", "others", "saved"}, name
            assert [path.read_bytes() for path in others.iterdir()] == [b"keep me"], name
            restore_tables(connection)
            shutil.rmtree("aerotile-data")
            shutil.copytree("saved", "aerotile-data")
    assert call("verify").code == 0
