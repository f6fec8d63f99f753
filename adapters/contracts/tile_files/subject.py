"""Tiles, and functions that place and read them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import attrs
import pytest

from ....domain.ports.tile_files import TileFiles
from ....domain.values.tiles import TileId, TileMetadata, TileSource
from ...memory.example_jpeg import example_jpeg, example_metadata

FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
TILE = TileId(18, 152345, 90123, TileSource.IMPORTED)
NEIGHBOUR = TileId(18, 152345, 90124, TileSource.IMPORTED)
ONBOARD = TileId(18, 152345, 90123, TileSource.ONBOARD, FLIGHT)


def jpeg(content: bytes = b"ground") -> bytes:
    return example_jpeg(content)


def metadata(pixels: bytes, tile_id: TileId = TILE, **changes: Any) -> TileMetadata:
    captured_at = datetime(2024, 5, 1, tzinfo=timezone.utc)
    facts = example_metadata(tile_id, pixels, captured_at=captured_at, ground_sample_distance=0.6)
    return attrs.evolve(facts, **changes)


def place(files: TileFiles, pixels: bytes, tile_id: TileId = TILE) -> None:
    files.place(files.stage(pixels, metadata(pixels, tile_id)))


def read(files: TileFiles, tile_id: TileId = TILE) -> bytes:
    with files.open(tile_id) as handle, memoryview(handle) as view:
        return bytes(view)


class OfTileFiles:
    """The fixture of every part of the contract."""

    @pytest.fixture
    def files(self) -> TileFiles:
        """The files under test. Override it."""
        raise NotImplementedError
