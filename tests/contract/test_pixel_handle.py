"""The contract of `TilePixelHandle`, held by mapped files and memory, fresh and from the mapping cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.domain.ports.mapping_cache import MappingCache
from aerotile.domain.ports.tile_files import TileFiles
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import CompiledMappingCache
from aerotile.testing import (
    MemoryMappingCache,
    MemoryTileFiles,
    MemoryTilePixelHandle,
    OpenPixelHandle,
    TilePixelHandleContract,
)

TILE = TileId(3, 1, 2, TileSource.IMPORTED)


class TestTilePixelHandle(TilePixelHandleContract):
    @pytest.fixture(params=["filesystem", "memory", "kept mappings", "kept in memory"])
    def open_handle(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenPixelHandle]:
        in_memory = request.param in ("memory", "kept in memory")
        files: TileFiles = MemoryTileFiles() if in_memory else FilesystemTileFiles(tmp_path)
        metadata = example_metadata(
            TILE,
            self.pixels,
            captured_at=datetime(2024, 5, 1, tzinfo=timezone.utc),
            ground_sample_distance=0.6,
        )
        files.place(files.stage(self.pixels, metadata))
        if "kept" in request.param:
            kept: MappingCache = (
                MemoryMappingCache() if in_memory else CompiledMappingCache(max_count=4, max_bytes=1 << 20)
            )
            kept.put(TILE, files.open(TILE), kept.ticket(TILE)).close()
            yield lambda: known(kept.get(TILE))
            kept.close()
        else:
            yield lambda: files.open(TILE)
        if isinstance(files, FilesystemTileFiles):
            files.close()


def known(handle: TilePixelHandle | None) -> TilePixelHandle:
    assert handle is not None
    return handle


def test_the_memory_handle_works_where_python_lacks_memfd_create(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    pixels = TilePixelHandleContract.pixels
    with MemoryTilePixelHandle.of(pixels) as handle:
        assert bytes(handle) == pixels
        with memoryview(handle) as view:
            assert view.readonly
