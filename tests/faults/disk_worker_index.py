"""What the descriptor index does to its files."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import count
from pathlib import Path

import numpy as np
from disk_worker import Operation

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.values.descriptors import HnswParams
from aerotile.domain.values.tiles import TileId, TileSource

DESCRIPTORS = np.random.default_rng(7).normal(size=(20, 16)).astype(np.float32)
PARAMS = HnswParams(m=8, ef_construction=20)


class IndexOperation(Operation):
    """One over an index that has two generations; the number of the build is the column of its first tile."""

    numbers = count(1)

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = FaissDescriptorIndex(root, params=PARAMS, keep_generations=2, warm_up=False, threads=1)
        self.in_use = self.expected = 0

    def build(self, number: int) -> None:
        self.index.rebuild(
            [TileId(18, 100 * number + row, 7, TileSource.IMPORTED) for row in range(len(DESCRIPTORS))],
            DESCRIPTORS,
            descriptor_model="a-network",
            built_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
            content_sha256=np.full((len(DESCRIPTORS), 32), number % 256, np.uint8),
        )

    def answering(self, index: FaissDescriptorIndex) -> int:
        return index.search(DESCRIPTORS[0], 1)[0].tile_id.x // 100

    def opened_anew(self) -> int:
        index = FaissDescriptorIndex(self.root, params=PARAMS)
        try:
            return self.answering(index)
        finally:
            index.close()

    def prepare(self) -> None:
        self.in_use = next(self.numbers)
        self.build(self.in_use)

    def check(self) -> None:
        assert self.answering(self.index) == self.expected
        assert self.opened_anew() == self.expected

    def whole(self) -> None:
        """After a failure: this process answers as before, another one from one of the two generations."""
        assert self.answering(self.index) == self.in_use
        assert self.opened_anew() in (self.in_use, self.expected)


class Build(IndexOperation):
    def prepare(self) -> None:
        super().prepare()
        self.expected = next(self.numbers)

    def do(self) -> None:
        self.build(self.expected)


class Rollback(IndexOperation):
    def prepare(self) -> None:
        super().prepare()
        self.expected = self.in_use
        self.in_use = next(self.numbers)
        self.build(self.in_use)
        self.target = self.index.generations.previous()

    def do(self) -> None:
        self.index.rollback(self.target)


class Open(IndexOperation):
    def prepare(self) -> None:
        super().prepare()
        self.expected = self.in_use

    def do(self) -> None:
        self.opened_anew()


def operations(folder: Path) -> dict[str, Operation]:
    index = folder / "index"
    return {"build": Build(index), "rollback": Rollback(index), "open": Open(index)}
