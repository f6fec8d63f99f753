"""The contract of `MappingCache`, held by the compiled cache over files and by the one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.ext import CompiledMappingCache
from aerotile.testing import MappingCacheContract, MappingCacheSubject, MemoryMappingCache, MemoryTileFiles


def compiled(**bounds: Any) -> CompiledMappingCache:
    return CompiledMappingCache(**({"max_count": 1_024, "max_bytes": 1 << 30} | bounds))


class TestMappingCache(MappingCacheContract):
    @pytest.fixture(params=["memory", "mappings"])
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MappingCacheSubject]:
        if request.param == "memory":
            subject = MappingCacheSubject(MemoryTileFiles(), MemoryMappingCache)
            yield subject
            subject.mapping_cache.close()
            return
        with FilesystemTileFiles(tmp_path / "tiles") as files:
            subject = MappingCacheSubject(files, compiled)
            yield subject
            subject.mapping_cache.close()
