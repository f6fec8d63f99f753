"""What a build takes, by the count of its tiles: blocks, tasks, files, and bytes of the working folder."""

from __future__ import annotations

import math

import attrs

from .build_blocks import SHARD_ROWS

_FOLDERS = 256
"""The files of a step lie in so many folders."""
_TILE_FACTS_BYTES, _KEY_BYTES = 60, 8
_CUT_HEAD_BYTES, _DESCRIBED_HEAD_BYTES, _SHARD_HEAD_BYTES = 560, 390, 360
"""What a step's file has beside its arrays."""
_WRITTEN_COMPONENT_BYTES = 4
"""A network answers with float32, whatever the index stores."""
_SORTED_BYTES = 112 + 104
"""Of a tile: the two passes of sorting of a seal."""


@attrs.frozen(kw_only=True)
class BuildSize:
    """What a build takes, by the count of its tiles."""

    tiles: int
    blocks: int
    descriptors: int
    shards: int
    tasks: int
    """Blocks that are cut and described, shards, and the graph."""
    files_in_a_folder: int
    """Of the working folder, in the fullest step; the mean."""
    tile_bytes: int
    descriptor_bytes: int
    shard_bytes: int
    sorting_bytes: int
    """On the disk of the process that seals."""

    @property
    def work_bytes(self) -> int:
        """Of the files of all blocks and shards; the graph lies beside them."""
        return self.tile_bytes + self.descriptor_bytes + self.shard_bytes


def build_size(
    *, tiles: int, blocks: int, jpeg_bytes: int, rows_a_tile: int, dimension: int, component_bytes: int
) -> BuildSize:
    """The size of a build; `rows_a_tile` is 0 without an index, `component_bytes` those of the index."""
    descriptors = tiles * rows_a_tile
    shards = math.ceil(descriptors / SHARD_ROWS)
    described = blocks if descriptors else 0
    return BuildSize(
        tiles=tiles,
        blocks=blocks,
        descriptors=descriptors,
        shards=shards,
        tasks=blocks + described + shards + bool(descriptors),
        files_in_a_folder=math.ceil(blocks / _FOLDERS),
        tile_bytes=jpeg_bytes + tiles * _TILE_FACTS_BYTES + blocks * _CUT_HEAD_BYTES,
        descriptor_bytes=descriptors * (dimension * _WRITTEN_COMPONENT_BYTES + _KEY_BYTES)
        + described * _DESCRIBED_HEAD_BYTES,
        shard_bytes=descriptors * (dimension * component_bytes + _KEY_BYTES) + shards * _SHARD_HEAD_BYTES,
        sorting_bytes=tiles * _SORTED_BYTES,
    )
