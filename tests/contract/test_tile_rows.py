"""The contract of `TileRows`, held by PostgreSQL and by memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource
from aerotile.testing import MemoryTileRows, TileRowsContract, TileRowsSubject


def in_memory() -> TileRowsSubject:
    rows = MemoryTileRows()

    def with_budget(disk_budget_bytes: int, onboard_budget_bytes: int | None) -> MemoryTileRows:
        rows.disk_budget_bytes, rows.onboard_budget_bytes = disk_budget_bytes, onboard_budget_bytes
        return rows

    def insert_legacy(tile_id: TileId) -> None:
        now = datetime.now(timezone.utc)
        metadata = example_metadata(tile_id, b"a", captured_at=now, ground_sample_distance=1.5)
        rows.add_row_without_hash(TileMetadataPersistent.of(metadata, created_at=now))

    return TileRowsSubject(
        rows,
        rows,
        with_budget,
        insert_legacy,
        lambda: rows.files_missing,
    )


class TestTileRows(TileRowsContract):
    @pytest.fixture(params=["memory", "postgres"])
    def subject(self, request: pytest.FixtureRequest) -> Iterator[TileRowsSubject]:
        if request.param == "memory":
            yield in_memory()
            return
        from aerotile.adapters.postgres.connection import Database
        from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
        from aerotile.adapters.postgres.tile_rows import PostgresTileRows

        with Database(request.getfixturevalue("migrated_database"), max_size=16) as database:
            rows = PostgresTileRows(database)

            def insert_legacy(tile_id: TileId) -> None:
                database.fetch_all(
                    "adding a row as revision 0001 had it",
                    """
                    INSERT INTO tiles (zoom_level, x, y, source, flight_id, captured_at, tile_size_pixels,
                                       ground_sample_distance, tile_uuid, location_hash)
                    VALUES (%s, %s, %s, %s, %s, now(), 256, 1.5, %s, %s) RETURNING id
                    """,
                    (
                        *(tile_id.zoom_level, tile_id.x, tile_id.y, tile_id.source.value, tile_id.flight_id),
                        *(tile_id.tile_uuid, tile_id.location_hash),
                    ),
                )

            def files_missing() -> dict[TileId, datetime]:
                marked = database.fetch_all(
                    "reading the marks",
                    "SELECT zoom_level, x, y, file_missing_at FROM tiles WHERE file_missing_at IS NOT NULL",
                )
                return {TileId(zoom_level, x, y, TileSource.IMPORTED): at for zoom_level, x, y, at in marked}

            yield TileRowsSubject(
                rows,
                PostgresTileMetadataStore(database),
                lambda budget, share: PostgresTileRows(
                    database, disk_budget_bytes=budget, onboard_budget_bytes=share
                ),
                insert_legacy,
                files_missing,
            )
