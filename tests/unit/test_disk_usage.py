"""What tiles take on the disk."""

from __future__ import annotations

from uuid import UUID

import pytest

from aerotile.domain.values.disk_usage import DiskUsage, footprint
from aerotile.domain.values.tiles import TileId, TileSource

IMPORTED = TileId(5, 1, 2, TileSource.IMPORTED)
ONBOARD = TileId(5, 1, 2, TileSource.ONBOARD, UUID(int=7))


@pytest.mark.parametrize(("length", "blocks"), [(1, 1), (1_600, 1), (4_096, 1), (4_097, 2), (30_000, 8)])
def test_a_tile_takes_its_blocks_those_of_its_sidecar_and_two_inodes(length: int, blocks: int) -> None:
    assert footprint(length) == (blocks + 1) * 4096 + 2 * 256


def test_usage_adds_up_and_tells_onboard_tiles_apart() -> None:
    both = DiskUsage.of_tile(IMPORTED, 1_600) + DiskUsage.of_tile(ONBOARD, 5_000)
    assert both == DiskUsage(6_600, 8_704 + 12_800, 12_800)
    assert both - DiskUsage.of_tile(ONBOARD, 5_000) == DiskUsage.of_tile(IMPORTED, 1_600)
    assert both + -both == DiskUsage()


def test_a_row_without_a_length_takes_nothing() -> None:
    assert DiskUsage.of_tile(ONBOARD, 0) == DiskUsage()
