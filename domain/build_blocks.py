"""`build_blocks`: cut, describe and order the tiles of a base, block by block, wherever the blocks are run.

Each step leaves a file in a shared folder and answers with its path and digest. A file is named by its
inputs, so that a repeated build goes on where one was interrupted. Blocks are squares of the grid, so that
the tiles of a block at one zoom are one run of tile keys, and runs of different blocks never interleave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import attrs

from .errors import BaseSealError
from .intake.mosaic import Mosaic, MosaicBlock
from .intake.report import Refusal
from .ports.block_runner import BlockRunner
from .values.catalogue_entries import Keys
from .values.tile_key import MORTON_BITS, VARIANT_BITS

SHARD_ROWS = 1 << 15
"""Descriptors of a shard, give or take a block: 32 MiB at 512 components of two bytes."""

ALIKE = "shards whose descriptors are all the same"
"""A count of a shard's outcome."""

Progress = Callable[[str, int, "int | None"], None]
"""`progress(phase, done, total)`."""


@attrs.frozen
class KeyRun:
    """Rows of a block's file that have tile keys of one zoom, ascending."""

    first: int
    """The lowest key."""
    last: int
    start: int
    """The first row."""
    stop: int
    """Behind the last row."""


@attrs.frozen
class BlockFile:
    """A file that a step left in the shared folder."""

    path: str
    digest: str
    """The SHA-256 that binds the file's content."""
    rows: int
    runs: tuple[KeyRun, ...]
    """Ascending; together all rows."""


@attrs.frozen(kw_only=True)
class BlockOutcome:
    """What became of one block in one step."""

    file: BlockFile
    counts: dict[str, int]
    """Places or tiles by how they ended."""
    refusals: tuple[Refusal, ...] = ()
    taken_over: bool
    """Whether an earlier run had left the file."""


@attrs.frozen(kw_only=True)
class ShardTask:
    """Runs of descriptors that lie behind each other in the order of tile keys."""

    runs: tuple[tuple[BlockFile, KeyRun], ...]


@attrs.frozen(kw_only=True)
class GraphTask:
    """All descriptors of a base: one task, because each is linked to those before it."""

    shards: tuple[BlockFile, ...]
    """By their first key."""
    left_out: tuple[int, ...] = ()
    """Keys of tiles that the base does not take, ascending."""


@attrs.frozen(kw_only=True)
class BuildSteps:
    """The functions of one block, which any machine may run."""

    cut: Callable[[MosaicBlock], BlockOutcome]
    describe: Callable[[BlockFile], BlockOutcome] | None
    """None: the base gets no index."""
    order: Callable[[ShardTask], BlockOutcome]


@attrs.define
class StepReport:
    """How the blocks of one step ended."""

    files: list[BlockFile] = attrs.field(factory=list)
    """Those that hold rows, by their first key."""
    blocks: int = 0
    taken_over: int = 0
    rows: int = 0
    counts: Counter[str] = attrs.field(factory=Counter)
    refusals: list[Refusal] = attrs.field(factory=list)

    def add(self, outcome: BlockOutcome) -> None:
        """Add a block that has ended."""
        self.blocks += 1
        self.taken_over += outcome.taken_over
        self.rows += outcome.file.rows
        self.counts.update(outcome.counts)
        self.refusals += outcome.refusals
        if outcome.file.rows:
            self.files.append(outcome.file)

    def in_order(self) -> StepReport:
        """The same, with files and refusals in an order that does not tell who was faster."""
        self.files.sort(key=lambda file: file.runs[0].first)
        self.refusals.sort(key=lambda refusal: (refusal.tile, refusal.message))
        return self


def cut_blocks(
    mosaic: Mosaic, steps: BuildSteps, runner: BlockRunner, progress: Progress, *, places: int
) -> StepReport:
    """Cut every block of a mosaic, which has so many places. Raises `ImagerySourceError`, `BaseSealError`."""
    # Sizes are estimates, and no step needs them.
    blocks = (MosaicBlock(block.places, {}) for block in mosaic.blocks())
    return _run(runner, "cut", steps.cut, blocks, lambda cut: sum(cut.counts.values()), progress, places)


def describe_blocks(
    tiles: StepReport, steps: BuildSteps, runner: BlockRunner, progress: Progress
) -> StepReport:
    """Describe the tiles. Raises `BaseSealError`."""
    assert steps.describe is not None
    described = _run(
        runner, "describe", steps.describe, iter(tiles.files), lambda _: 1, progress, len(tiles.files)
    )
    if not described.rows:
        such = "".join(f", such as {each.tile}: {each.message}" for each in described.refusals[:1])
        raise BaseSealError(
            f"no tile could be described{such}",
            remedy="mend the sources or the working folder, and build again",
        )
    return described


def order_blocks(
    described: StepReport, steps: BuildSteps, runner: BlockRunner, progress: Progress
) -> StepReport:
    """Write descriptors in the order of tile keys.

    Raises `BaseSealError`, also where no shard has two different descriptors: those of a broken network.
    """
    shards = list(_shard_tasks(described.files))
    ordered = _run(runner, "order", steps.order, iter(shards), lambda _: 1, progress, len(shards))
    if shards and ordered.counts[ALIKE] == len(shards):
        raise BaseSealError(
            f"all {ordered.rows} descriptors are the same, so that no search could tell the tiles apart",
            remedy="correct the network or its preprocessing, and build again",
        )
    return ordered


def runs_of(keys: Keys) -> tuple[KeyRun, ...]:
    """The runs of ascending tile keys, one a zoom."""
    runs, start = [], 0
    zooms = (keys >> (MORTON_BITS + VARIANT_BITS)).tolist()
    for stop in range(1, len(zooms) + 1):
        if stop == len(zooms) or zooms[stop] != zooms[start]:
            runs.append(KeyRun(int(keys[start]), int(keys[stop - 1]), start, stop))
            start = stop
    return tuple(runs)


def ordered_runs(files: Sequence[BlockFile]) -> list[tuple[BlockFile, KeyRun]]:
    """The runs of all files, by their keys. Raises `BaseSealError` where two of them share keys."""
    runs = sorted(((file, run) for file in files for run in file.runs), key=lambda pair: pair[1].first)
    for (one, before), (other, after) in pairwise(runs):
        if before.last >= after.first:
            raise BaseSealError(
                f"{one.path} and {other.path} hold tiles of the same place",
                remedy="remove the working folder and build again",
            )
    return runs


def _shard_tasks(files: Sequence[BlockFile]) -> Iterator[ShardTask]:
    waiting: list[tuple[BlockFile, KeyRun]] = []
    rows = 0
    for file, run in ordered_runs(files):
        waiting.append((file, run))
        rows += run.stop - run.start
        if rows >= SHARD_ROWS:
            yield ShardTask(runs=tuple(waiting))
            waiting, rows = [], 0
    if waiting:
        yield ShardTask(runs=tuple(waiting))


_Task = TypeVar("_Task")


def _run(
    runner: BlockRunner,
    phase: str,
    step: Callable[[_Task], BlockOutcome],
    tasks: Iterator[_Task],
    weight: Callable[[BlockOutcome], int],
    progress: Progress,
    total: int,
) -> StepReport:
    report, done = StepReport(), 0
    progress(phase, 0, total)
    for outcome in runner.run(phase, step, tasks):
        report.add(outcome)
        done += weight(outcome)
        progress(phase, done, total)
    return report.in_order()
