"""The contract of `TileRows`, held by every implementation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from aerotile.adapters.contracts.tile_rows.subject import FLIGHT, LEGACY, NOW, described
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource
from aerotile.testing import MemoryTileRows, TileRowsContract, TileRowsSubject


def in_memory() -> TileRowsSubject:
    rows = MemoryTileRows()

    def with_budget(disk_budget_bytes: int) -> MemoryTileRows:
        rows.disk_budget_bytes = disk_budget_bytes
        return rows

    legacy = TileMetadataPersistent.of(described(LEGACY), created_at=NOW)
    return TileRowsSubject(
        rows,
        rows,
        with_budget,
        lambda: rows.add_incomplete(legacy),
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

            def add_legacy_row() -> None:
                database.fetch_all(
                    "adding a row as revision 0001 had it",
                    """
                    INSERT INTO tiles (zoom_level, x, y, source, flight_id, captured_at, tile_size_pixels,
                                       ground_sample_distance, tile_uuid, location_hash)
                    VALUES (9, 4, 5, 'onboard', %s, now(), 256, 1.5, %s, %s) RETURNING id
                    """,
                    (FLIGHT, LEGACY.tile_uuid, LEGACY.location_hash),
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
                lambda budget: PostgresTileRows(database, disk_budget_bytes=budget),
                add_legacy_row,
                files_missing,
            )
