"""Every store that the tests of `TileStore` run with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tile_store_subject import Subject

from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.ports.mapping_cache import MappingCache


@pytest.fixture(params=["memory", "memory, budgeted", "postgres and files", "postgres and files, budgeted"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    budgeted = "budgeted" in request.param
    if request.param.startswith("memory"):
        yield Subject(MemoryTileRows(), MemoryTileFiles(), budgeted)
        return
    from aerotile.adapters.filesystem import FilesystemTileFiles
    from aerotile.adapters.postgres.connection import Database
    from aerotile.adapters.postgres.tile_rows import PostgresTileRows
    from aerotile.ext import CompiledMappingCache, CompiledTileCatalogue

    def new_kept(max_count: int = 1_024) -> MappingCache:
        return CompiledMappingCache(max_count=max_count, max_bytes=1 << 30)

    database = Database(request.getfixturevalue("migrated_database"))
    files = FilesystemTileFiles(tmp_path / "tiles")
    yield Subject(PostgresTileRows(database), files, budgeted, CompiledTileCatalogue, new_kept=new_kept)
    files.close()
    database.close()
