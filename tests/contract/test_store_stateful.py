"""The contract of a tile store against a dictionary, held over memory and over PostgreSQL and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from aerotile.testing import MemoryTileFiles, MemoryTileRows, TileStoreHalves, TileStoreModelContract


class TestStoreInMemory(TileStoreModelContract):
    examples = settings(max_examples=settings().max_examples * 3 // 2, stateful_step_count=25)

    @pytest.fixture
    def halves(self) -> TileStoreHalves:
        rows = MemoryTileRows()
        return TileStoreHalves(rows, rows, MemoryTileFiles())


class TestStoreOverPostgresAndFiles(TileStoreModelContract):
    @pytest.fixture
    def halves(self, migrated_database: str, tmp_path: Path) -> Iterator[TileStoreHalves]:
        from aerotile.adapters.filesystem import FilesystemTileFiles
        from aerotile.adapters.postgres.connection import Database
        from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
        from aerotile.adapters.postgres.tile_rows import PostgresTileRows

        with Database(migrated_database) as database, FilesystemTileFiles(tmp_path / "tiles") as files:
            yield TileStoreHalves(PostgresTileRows(database), PostgresTileMetadataStore(database), files)
