"""Descriptors of blocks, and shards of them in the order of tile keys, as an index stores them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...domain.build_blocks import BlockFile, ShardTask
from ...domain.values.descriptors import VectorStorage
from ..descriptor_arrays import component_of
from .block_file import Array, OpenBlock, open_block


def shard_arrays(task: ShardTask, storage: VectorStorage) -> dict[str, Array]:
    """Keys and vectors of the runs of a shard. Raises `BaseSealError` for a damaged file, `OSError`."""
    keys, vectors = [], []
    for file, run in task.runs:
        block = open_block(Path(file.path), file.digest)
        keys.append(block.array("keys")[run.start : run.stop])
        vectors.append(block.array("vectors")[run.start : run.stop].astype(component_of(storage)))
    return {"keys": np.concatenate(keys), "vectors": np.concatenate(vectors)}


def tells_tiles_apart(shard: Mapping[str, Array]) -> bool:
    """Whether different tiles have different descriptors, or there is but one tile."""
    keys, vectors = shard["keys"], shard["vectors"]
    return bool((vectors != vectors[0]).any()) or bool((keys == keys[0]).all())


class ShardedDescriptors:
    """All descriptors of a build in the order of tile keys, shard after shard.

    Memory: the keys. One shard is open at a time: each holds a file descriptor.
    """

    def __init__(self, shards: Sequence[BlockFile]) -> None:
        """`shards` ascend by their keys. Raises `BaseSealError` for a damaged file, `OSError`."""
        self._shards = shards
        self._keys = np.concatenate([_opened(shard).array("keys") for shard in shards])

    @property
    def dimension(self) -> int:
        """Of a descriptor."""
        return int(_opened(self._shards[0]).unchecked("vectors").shape[1])

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """The tile key of each row, sorted."""
        return self._keys

    def blocks(self) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """The rows of each shard and their vectors as stored. Raises `BaseSealError`, `OSError`."""
        begin = 0
        for shard in self._shards:
            vectors = _opened(shard).array("vectors")
            yield slice(begin, begin + len(vectors)), vectors
            begin += len(vectors)


def _opened(shard: BlockFile) -> OpenBlock:
    return open_block(Path(shard.path), shard.digest)
