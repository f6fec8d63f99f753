"""The steps of a build: whose runs lie where, what a shard holds, what the reports say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from aerotile.adapters.memory.imagery_source import MemoryImagerySource
from aerotile.adapters.memory.picture_codec import MemoryPictureCodec
from aerotile.domain import build_blocks
from aerotile.domain.build_blocks import (
    BlockFile,
    BlockOutcome,
    BuildSteps,
    KeyRun,
    ShardTask,
    StepReport,
    cut_blocks,
    describe_blocks,
    order_blocks,
    ordered_runs,
    runs_of,
)
from aerotile.domain.errors import BaseSealError
from aerotile.domain.intake.mosaic import Mosaic, MosaicBlock
from aerotile.domain.intake.report import Refusal
from aerotile.domain.ports.imagery_source import ImageryTile, TilePlace
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource


def key_of(place: TilePlace) -> int:
    return encode_tile_key(TileId(*place, TileSource.IMPORTED), VariantTable())


def mosaic_of(places: Iterable[TilePlace]) -> Mosaic:
    source = MemoryImagerySource({place: ImageryTile(place=place, pixels=b"") for place in places})
    return Mosaic.of([source], MemoryPictureCodec())


class Shuffled:
    """A runner whose tasks end in an order drawn by chance, as those of a cluster do."""

    threads = 1

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def run(self, phase: str, work: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        results = [work(task) for task in tasks]
        self.rng.shuffle(results)
        yield from results


class Steps:
    """Steps that keep the keys of each file in memory."""

    def __init__(self, rows_a_tile: int = 1) -> None:
        self.keys: dict[str, list[int]] = {}
        self.shards: list[list[int]] = []
        self.rows_a_tile = rows_a_tile
        self.steps = BuildSteps(cut=self.cut, describe=self.describe, order=self.order)

    def _left(self, name: str, keys: list[int], refusals: tuple[Refusal, ...] = ()) -> BlockOutcome:
        self.keys[name] = keys
        file = BlockFile(name, name, len(keys), runs_of(np.array(keys, np.int64)))
        return BlockOutcome(
            file=file, counts={"verbatim": len(keys)}, refusals=refusals, taken_over=bool(len(keys) % 2)
        )

    def cut(self, block: MosaicBlock) -> BlockOutcome:
        assert block.sizes == {}
        return self._left(str(min(block.places)), sorted(map(key_of, block.places)))

    def describe(self, file: BlockFile) -> BlockOutcome:
        keys = [key for key in self.keys[file.path] if key % 5]
        left_out = tuple(
            Refusal(file.path, str(key), "", "", None) for key in self.keys[file.path] if not key % 5
        )
        return self._left(f"described {file.path}", sorted(keys * self.rows_a_tile), left_out)

    def order(self, task: ShardTask) -> BlockOutcome:
        keys = [key for file, run in task.runs for key in self.keys[file.path][run.start : run.stop]]
        self.shards.append(keys)
        return self._left(f"shard {keys[0]}", keys)


def clumps(seed: int, zooms: list[int]) -> set[TilePlace]:
    rng = random.Random(seed)
    places = set()
    for zoom in zooms:
        last = (1 << zoom) - 1
        for _ in range(6):
            x, y = rng.randint(0, last), rng.randint(0, last)
            places |= {
                TilePlace(zoom, min(x + column, last), min(y + row, last))
                for column in range(rng.choice([1, 20]))
                for row in range(rng.choice([1, 18]))
            }
    return places


@pytest.mark.parametrize("zooms", [[0, 1, 2, 3], [3, 4, 5, 6, 7, 8, 9], [2, 5, 8], [4]], ids=str)
@pytest.mark.parametrize("rows_a_tile", [1, 4])
def test_shards_hold_every_described_tile_once_in_the_order_of_tile_keys(
    zooms: list[int], rows_a_tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_blocks, "SHARD_ROWS", 100)
    places = clumps(3, zooms)
    steps, seen = Steps(rows_a_tile), []
    cut = cut_blocks(
        mosaic_of(places),
        steps.steps,
        Shuffled(1),
        lambda phase, done, total: seen.append((phase, done, total)),
        places=len(places),
    )
    keys = sorted(map(key_of, places))
    assert cut.rows == len(places)
    assert [key for _, run in ordered_runs(cut.files) for key in (run.first,)] == sorted(
        run.first for file in cut.files for run in file.runs
    )
    assert (seen[0], seen[-1]) == (("cut", 0, len(places)), ("cut", len(places), len(places)))
    described = describe_blocks(cut, steps.steps, Shuffled(2), lambda phase, done, total: None)
    shards = order_blocks(described, steps.steps, Shuffled(2), lambda phase, done, total: None)
    wanted = [key for key in keys if key % 5 for _ in range(rows_a_tile)]
    assert [key for file in shards.files for key in steps.keys[file.path]] == wanted
    assert described.rows == shards.rows == len(wanted)
    assert [refusal.tile for refusal in described.refusals] == sorted(str(key) for key in keys if not key % 5)
    assert all(len(shard) < 100 + 341 * rows_a_tile for shard in steps.shards)


def test_reports_do_not_tell_in_which_order_blocks_ended() -> None:
    places = clumps(4, [6, 7, 8])
    reports = []
    for seed in (1, 2):
        steps = Steps()
        cut = cut_blocks(mosaic_of(places), steps.steps, Shuffled(seed), lambda *_: None, places=len(places))
        described = describe_blocks(cut, steps.steps, Shuffled(seed), lambda *_: None)
        shards = order_blocks(described, steps.steps, Shuffled(seed), lambda *_: None)
        reports.append((cut, described, shards))
    assert reports[0] == reports[1]


def test_a_build_of_which_no_tile_could_be_described_names_the_tiles_and_not_the_network() -> None:
    shards = order_blocks(StepReport(), Steps().steps, Shuffled(1), lambda *_: None)
    assert (shards.rows, shards.files) == (0, [])


def test_a_run_covers_the_rows_of_one_zoom() -> None:
    keys = [key_of(TilePlace(3, 1, 1)), key_of(TilePlace(4, 2, 2)), key_of(TilePlace(4, 3, 2))]
    assert runs_of(np.array(keys, np.int64)) == (
        KeyRun(keys[0], keys[0], 0, 1),
        KeyRun(keys[1], keys[2], 1, 3),
    )
    assert runs_of(np.empty(0, np.int64)) == ()


def test_files_that_share_a_place_are_refused_by_name() -> None:
    files = [
        BlockFile(name, "", 2, (KeyRun(first, first + 10, 0, 2),)) for name, first in (("a", 1), ("b", 11))
    ]
    with pytest.raises(BaseSealError, match="a and b hold tiles of the same place"):
        ordered_runs(files)


def test_a_build_without_a_described_tile_is_refused() -> None:
    nothing = StepReport(files=[])
    with pytest.raises(BaseSealError, match="no tile could be described"):
        describe_blocks(nothing, Steps().steps, Shuffled(1), lambda *_: None)
