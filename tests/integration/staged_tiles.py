"""A tile, staged as a store stages it, and what lies below a folder."""

from __future__ import annotations

from pathlib import Path

from aerotile.adapters.contracts.tile_files.subject import jpeg, metadata
from aerotile.domain.ports.tile_files import StagedTile, TileFiles
from aerotile.domain.values.tiles import TileId, TileSource

TILE = TileId(3, 1, 5, TileSource.IMPORTED)
PIXELS = jpeg()
TILE_PATH = "imported/3/1/5.jpg"


def stage(files: TileFiles, tile_id: TileId = TILE, pixels: bytes = PIXELS) -> StagedTile:
    return files.stage(pixels, metadata(pixels, tile_id))


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
