"""The contract of `TileFiles`, held by the file system and by memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.domain.ports.tile_files import TileFiles
from aerotile.testing import MemoryTileFiles, TileFilesContract


class TestTileFiles(TileFilesContract):
    @pytest.fixture(params=["filesystem", "memory"])
    def files(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TileFiles]:
        if request.param == "memory":
            yield MemoryTileFiles()
        else:
            with FilesystemTileFiles(tmp_path / "tiles") as files:
                yield files
