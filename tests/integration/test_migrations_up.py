"""Migrations on a real server, upwards: from every revision with rows in place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from old_databases import (
    HASH,
    HEAD,
    REVISIONS,
    execute,
    fill,
    revision_of,
    select,
    tables,
    upgrade_without_the_runner,
)

from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.adapters.postgres.revision import check_revision, known_revisions
from aerotile.adapters.postgres.sector_store import PostgresSectorStore
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.errors import ConfigurationError, TileMetadataError
from aerotile.domain.values.disk_usage import footprint
from aerotile.domain.values.sectors import SEEDED_RULES
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_names import location_hash_of, tile_uuid_of
from aerotile.domain.values.tiles import FreshnessLabel, TileId, TileSource


def test_an_empty_database_goes_up_to_the_newest_revision_and_stays_there(empty_database: str) -> None:
    first = apply_migrations(empty_database)
    assert (first.before, first.after, first.applied) == (None, HEAD, REVISIONS)
    again = apply_migrations(empty_database)
    assert (again.before, again.after, again.applied) == (HEAD, HEAD, ())
    check_revision(empty_database)


def test_the_revisions_known_without_alembic_are_alembic_s() -> None:
    config = Config()
    config.set_main_option("script_location", "aerotile:migrations")
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    assert known_revisions() == tuple(script.revision for script in scripts)[::-1]


@pytest.mark.parametrize("pinned", [(), ("aa" * 32,)], ids=["no keys pinned", "keys of recalls pinned"])
def test_an_open_of_a_migrated_store_loads_no_library_that_it_does_not_need(
    migrated_database: str, tmp_path: Path, pinned: tuple[str, ...]
) -> None:
    program = """
import sys
from pathlib import Path
from aerotile import AerotileConfig, RecallConfig, build_tile_metadata_store, build_tile_store, close_runtimes
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import DatabaseConfig
root, dsn, *pinned = sys.argv[1:]
config = AerotileConfig(
    root=Path(root), database=DatabaseConfig(dsn=Secret(dsn)), recall=RecallConfig(public_keys=tuple(pinned))
)
build_tile_store(config)
build_tile_metadata_store(config)
close_runtimes()
heavy = {"PIL", "alembic", "click", "dask", "faiss", "httpx", "onnxruntime", "rasterio", "rich", "simplejpeg"}
print(sorted({*heavy, "cryptography", "securesystemslib", "sqlalchemy", "starlette"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "root"), migrated_database, *pinned]
    opened = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = ["cryptography", "securesystemslib"] if pinned else []
    assert opened.stdout.strip() == str(expected), opened.stderr


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_row_is_intact_after_going_up_from_any_revision(empty_database: str, revision: str) -> None:
    fill(empty_database, revision)
    before = tables(empty_database)
    report = apply_migrations(empty_database)
    assert report.before == revision
    assert report.applied == REVISIONS[REVISIONS.index(revision) + 1 :]
    after = tables(empty_database)
    for row in before["sector_classifications"]:  # which are shapes from 0009 on: the test of boxes below
        for edge in ("min_lat", "min_lon", "max_lat", "max_lon"):
            row.pop(edge, None)
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
        assert row["tile_uuid"] == tile_uuid_of(*place, row["source"], row["flight_id"])
        assert row["location_hash"] == location_hash_of(*place)
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
        old = list(rows.rows_without_hash())
        assert old[0] == TileId(18, 152345, 90123, TileSource.SATELLITE_PROVIDER)
        for tile_id in old:
            rows.fill_hash(tile_id, HASH, 100)
        labels = {str(tile.tile_id.source.value): tile.freshness_label for tile in rows.committed()}
        assert labels["satellite_provider"] is FreshnessLabel.FRESH
        assert labels["imported"] is FreshnessLabel.DOWNGRADED
        stale = store.get_by_id(old[1])
        assert stale is not None
        assert stale.freshness_label is FreshnessLabel.DOWNGRADED
        assert stale.quality is not None
        assert stale.quality.inlier_count == 41
        assert store.total_disk_bytes() == 400
        assert len(store.lru_candidates(10)) == 3  # neither pinned nor pending for upload
        sectors = PostgresSectorStore(database)
        with pytest.raises(ConfigurationError, match="front"):  # revision 0001 knew no boxes
            sectors.sectors()
        assert sectors.rules() == SEEDED_RULES


def test_a_box_of_an_older_revision_is_a_box_still(empty_database: str) -> None:
    fill(empty_database, "0008")
    third = "0.3333333333333333"
    execute(
        empty_database,
        f"UPDATE sector_classifications SET min_lat = {third}, min_lon = 0.1, max_lat = 4, max_lon = 1e1",
    )
    apply_migrations(empty_database)
    with Database(empty_database) as database:
        shapes = {sector.shape for sector in PostgresSectorStore(database).sectors()}
    assert shapes == {Bbox(1 / 3, 0.1, 4.0, 10.0)}


def test_the_total_starts_as_the_sum_of_the_rows(empty_database: str) -> None:
    fill(empty_database, "0003")
    apply_migrations(empty_database)
    rows = select(empty_database, "SELECT source, disk_bytes FROM tiles WHERE disk_bytes IS NOT NULL")
    taken = [(row["source"], footprint(row["disk_bytes"])) for row in rows]
    usage = "SELECT total_bytes, footprint_bytes, onboard_footprint_bytes FROM disk_usage"
    assert select(empty_database, usage) == [
        {
            "total_bytes": 5000,
            "footprint_bytes": sum(bytes_ for _, bytes_ in taken),
            "onboard_footprint_bytes": sum(bytes_ for source, bytes_ in taken if source == "onboard"),
        }
    ]


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
