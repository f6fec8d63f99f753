"""What tiles take on the disk: their lengths, and the blocks and inodes that hold them.

A tile is a file and a sidecar. Each has an inode and begins a block of its own, so that a tile of 1.6 kB
takes 8.7 kB.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import numpy as np
import numpy.typing as npt

from .tiles import TileId, TileMetadata, TileSource

BLOCK_BYTES = 4096
"""Of ext4 and XFS as they are made by default."""
PAIR_BYTES = 4096 + 2 * 256
"""The sidecar's block, and the inodes of tile and sidecar (256 bytes on ext4)."""


def footprint(length: int) -> int:
    """Bytes of disk that a tile of `length` bytes takes, with its sidecar; the disk budget counts these."""
    return blocks_of(length) + PAIR_BYTES


def blocks_of(length: int) -> int:
    """Bytes of the blocks that a file of `length` bytes takes."""
    return -(-length // BLOCK_BYTES) * BLOCK_BYTES


def footprints(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The footprint of each of many tiles."""
    whole: npt.NDArray[np.int64] = -(-lengths // BLOCK_BYTES) * BLOCK_BYTES + PAIR_BYTES
    return whole


@attrs.frozen
class DiskUsage:
    """What tiles take, or what a change adds to it; negative for what it takes away."""

    disk_bytes: int = 0
    """Lengths of the tiles."""
    footprint_bytes: int = 0
    """Their footprints."""
    onboard_footprint_bytes: int = 0
    """Those of the onboard tiles among them."""

    @classmethod
    def of(cls, tiles: Iterable[TileMetadata]) -> DiskUsage:
        """What the tiles take together."""
        lengths = [(tile.tile_id.source is TileSource.ONBOARD, tile.disk_bytes) for tile in tiles]
        return cls(
            sum(length for _, length in lengths),
            sum(footprint(length) for _, length in lengths),
            sum(footprint(length) for is_onboard, length in lengths if is_onboard),
        )

    @classmethod
    def of_tile(cls, tile_id: TileId, length: int) -> DiskUsage:
        """What one tile takes; nothing for a row that knows no length yet."""
        if not length:
            return cls()
        return cls(
            length, footprint(length), footprint(length) if tile_id.source is TileSource.ONBOARD else 0
        )

    def __add__(self, other: DiskUsage) -> DiskUsage:
        return DiskUsage(
            self.disk_bytes + other.disk_bytes,
            self.footprint_bytes + other.footprint_bytes,
            self.onboard_footprint_bytes + other.onboard_footprint_bytes,
        )

    def __sub__(self, other: DiskUsage) -> DiskUsage:
        return self + -other

    def __neg__(self) -> DiskUsage:
        return DiskUsage(-self.disk_bytes, -self.footprint_bytes, -self.onboard_footprint_bytes)
