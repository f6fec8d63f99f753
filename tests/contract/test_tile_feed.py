"""The contract of a tile feed, held by notices of PostgreSQL and by the queue in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from aerotile.domain.ports.mapping_cache import MappingCache
from aerotile.testing import (
    MemoryMappingCache,
    MemoryTileCatalogue,
    MemoryTileFeed,
    MemoryTileFiles,
    MemoryTileRows,
    TileFeedContract,
    TileFeedSubject,
)


class TestTileFeed(TileFeedContract):
    @pytest.fixture(params=["memory", "postgres and files"])
    def site(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TileFeedSubject]:
        if request.param == "memory":
            rows = MemoryTileRows()
            site = TileFeedSubject(
                rows,
                MemoryTileFiles(),
                rows.set_pinned,
                lambda: MemoryTileFeed(rows),
                MemoryTileCatalogue,
                MemoryMappingCache,
            )
            yield site
            for feed in site.feeds:
                feed.close()
            return
        from aerotile.adapters.filesystem import FilesystemTileFiles
        from aerotile.adapters.postgres.connection import Database
        from aerotile.adapters.postgres.tile_feed import TileFeed
        from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
        from aerotile.adapters.postgres.tile_rows import PostgresTileRows
        from aerotile.ext import CompiledMappingCache, CompiledTileCatalogue

        database = Database(request.getfixturevalue("migrated_database"))
        files = FilesystemTileFiles(tmp_path / "tiles")
        site = TileFeedSubject(
            PostgresTileRows(database),
            files,
            PostgresTileMetadataStore(database).set_pinned,
            lambda: TileFeed(database),
            CompiledTileCatalogue,
            lambda: cast(MappingCache, CompiledMappingCache(max_count=8, max_bytes=1 << 20)),
        )
        yield site
        for feed in site.feeds:
            feed.close()
        files.close()
        database.close()
