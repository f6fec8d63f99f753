"""The contract of `TileStore`, held over PostgreSQL and files and over memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aerotile.domain.ports.mapping_cache import MappingCache
from aerotile.testing import MemoryTileFiles, MemoryTileRows, TileStoreContract, TileStoreSubject


class TestTileStore(TileStoreContract):
    @pytest.fixture(
        params=["memory", "memory, budgeted", "postgres and files", "postgres and files, budgeted"]
    )
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TileStoreSubject]:
        budgeted = "budgeted" in request.param
        if request.param.startswith("memory"):
            yield TileStoreSubject(MemoryTileRows(), MemoryTileFiles(), budgeted)
            return
        from aerotile.adapters.filesystem import FilesystemTileFiles
        from aerotile.adapters.postgres.connection import Database
        from aerotile.adapters.postgres.tile_rows import PostgresTileRows
        from aerotile.ext import CompiledMappingCache, CompiledTileCatalogue

        def new_kept(max_count: int = 1_024) -> MappingCache:
            return CompiledMappingCache(max_count=max_count, max_bytes=1 << 30)

        database = Database(request.getfixturevalue("migrated_database"))
        files = FilesystemTileFiles(tmp_path / "tiles")
        yield TileStoreSubject(
            PostgresTileRows(database), files, budgeted, CompiledTileCatalogue, new_kept=new_kept
        )
        files.close()
        database.close()
