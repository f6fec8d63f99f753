"""Every implementation that the tests of `TileFiles` run with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.domain.ports.tile_files import TileFiles


@pytest.fixture(params=["filesystem", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TileFiles]:
    if request.param == "memory":
        yield MemoryTileFiles()
    else:
        with FilesystemTileFiles(tmp_path / "tiles") as files:
            yield files
