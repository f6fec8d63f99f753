"""Small builds of the descriptor index, each told from the others by what it answers."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import default_rng  # loaded here: a build in a child is counted in steps

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.values.tiles import TileId, TileSource

BUILT_AT = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
DIMENSION = 16


def tile(number: int) -> TileId:
    return TileId(18, number, 7, TileSource.SATELLITE_PROVIDER)


def vectors(count: int) -> npt.NDArray[np.float32]:
    return default_rng(7).normal(size=(count, DIMENSION)).astype(np.float32)


def build(index: FaissDescriptorIndex, first_tile: int = 0, count: int = 50, **named: Any) -> None:
    tiles = [tile(first_tile + number) for number in range(count)]
    index.rebuild(tiles, vectors(count), descriptor_model="a-network", built_at=BUILT_AT, **named)


def nearest(index: FaissDescriptorIndex) -> int:
    """The column of the tile that the first descriptor belongs to: tells which build answers."""
    return index.search(vectors(1)[0], 1)[0].tile_id.x


def generation(root: Path) -> Path:
    return root / "generations" / (root / "current").read_text().strip()
