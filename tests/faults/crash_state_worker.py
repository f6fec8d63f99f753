"""A write, a batch, a delete, a replacement and an index rebuild; whoever reads along decides how fast.

Usage: crash_state_worker.py ROOT FSYNC. Says what `store_lives` knows of, and `f` when the files of all that
was announced are placed and a commit comes next, or was sent behind its INSERT, and waits for a line after
each. Before the first step it says `ready`, and `done` after the last; then it waits to be killed.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from power_cut_worker import FLIGHT, runtime_of, say, tile_of

from aerotile.adapters.composition import Runtime
from aerotile.adapters.postgres.pipeline import Pipeline, Statement
from aerotile.adapters.postgres.transactions import TileTransaction
from aerotile.domain.values.disk_usage import DiskUsage
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource
from aerotile.ext import sync_file_system

BASE = [
    *(TileId(20, 7, y, TileSource.IMPORTED) for y in range(4)),
    TileId(20, 7, 0, TileSource.ONBOARD, FLIGHT),
]
SINGLES = [TileId(20, x, 10, TileSource.IMPORTED) for x in (7, 10)]
"""One in a known folder, whose COMMIT is sent behind its INSERT, and one in a new folder, step by step."""
BATCH = [TileId(20, x, y, TileSource.IMPORTED) for x, y in ((7, 11), (8, 10), (8, 11), (9, 10))]
"""Beside others, and in new folders."""


def step(line: str) -> None:
    say(line)
    if not sys.stdin.readline():
        sys.exit("nobody reads along any more")


def sync_all(root: Path) -> None:
    """Bring everything to the disk."""
    folder = os.open(root, os.O_RDONLY)
    try:
        sync_file_system(folder)
    finally:
        os.close(folder)


def pause_before_commits(root: Path) -> None:
    """Say when a commit comes next.

    Before the commit of a removal the kernel has brought everything to the disk, as it may at any time: were
    the file unlinked by then, it would be gone.
    """
    commit = TileTransaction.commit

    def say_and_commit(
        self: TileTransaction,
        doing: str,
        added: DiskUsage,
        trace: Callable[[], Statement],
        *,
        sent: Pipeline | None = None,
    ) -> None:
        if added.disk_bytes < 0:
            sync_all(root)
        step("f")
        commit(self, doing, added, trace, sent=sent)

    TileTransaction.commit = say_and_commit


class Steps:
    """Changes of a store, each announced and confirmed."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._chance = random.Random(0)
        self.hashes: dict[TileId, str] = {}

    def _announced(self, tile_id: TileId) -> tuple[bytes, TileMetadata]:
        pixels, metadata = tile_of(tile_id, self._chance)
        self.hashes[tile_id] = metadata.content_sha256
        step(f"w {tile_id} {metadata.content_sha256}")
        return pixels, metadata

    def write(self, tile_id: TileId) -> None:
        self._runtime.tile_store.write_tile(*self._announced(tile_id))
        step(f"+ {tile_id} {self.hashes[tile_id]}")

    def write_batch(self, tile_ids: list[TileId]) -> None:
        tiles = [self._announced(tile_id) for tile_id in tile_ids]
        for outcome in self._runtime.tile_store.write_tiles(tiles):
            if outcome.error is not None:
                raise outcome.error
            step(f"+ {outcome.tile_id} {self.hashes[outcome.tile_id]}")

    def delete(self, tile_id: TileId) -> None:
        step(f"? {tile_id} {self.hashes[tile_id]}")
        self._runtime.tile_store.delete_tile(tile_id)
        step(f"- {tile_id} {self.hashes[tile_id]}")

    def replace(self, tile_id: TileId) -> None:
        before = self.hashes[tile_id]
        step(f"? {tile_id} {before}")
        self._runtime.tile_store.replace_tile(*self._announced(tile_id))
        step(f"- {tile_id} {before}")
        step(f"+ {tile_id} {self.hashes[tile_id]}")

    def rebuild(self, model: str) -> None:
        step(f"b {model}")
        self._runtime.index_builder.rebuild(
            BASE,
            np.full((len(BASE), 16), len(model), np.float32),
            descriptor_model=model,
            built_at=datetime.now(timezone.utc),
        )
        step(f"i {model}")


def main() -> None:
    root = Path(sys.argv[1])
    with runtime_of(root, sys.argv[2]) as runtime:
        pause_before_commits(root)
        steps = Steps(runtime)
        steps.write_batch(BASE)
        for model in ("first", "second"):
            steps.rebuild(model)
        sync_all(root)
        step("ready")
        for tile_id in SINGLES:
            steps.write(tile_id)
        steps.write_batch(BATCH)
        steps.delete(BASE[1])
        steps.replace(BASE[2])
        steps.rebuild("third")
        step("done")


if __name__ == "__main__":
    main()
