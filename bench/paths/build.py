"""P-21: cutting a GeoTIFF on Dask with two workers, beside one process that is held to one core.

At `--scale` the raster is that of P-20, 20,000 x 20,000 pixels, and tiles have 256. Other runs cut tiles of
64 pixels from a smaller one, so that it has blocks enough for two workers: with a sixteenth of the work each.

One sample cuts the whole raster into a new folder. Opening and hashing the raster, and beginning the workers,
are not timed: a theatre has thousands of blocks. `overhead_a_block` is what a block costs beside its own
work, as a share of that work: the time of blocks without work, on the same two workers.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import attrs
from harness.operations import Samples, Unavailable
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import Workshop

from aerotile import AerotileConfig, TilesConfig
from aerotile.adapters.build_files.one_process import OneProcess
from aerotile.adapters.composition import Runtime
from aerotile.adapters.composition.build_planning import PlannedBuild
from aerotile.domain.build_blocks import StepReport, cut_blocks
from aerotile.domain.ports.block_runner import BlockRunner

_SMALL_TILE, _TILE, _WORKERS = 64, 256, 2
_LARGE = 20_000
"""Pixels of a raster that has blocks of whole tiles enough for two workers."""
_IDLE_BLOCKS = 200


@contextmanager
def _plan(workshop: Workshop) -> Iterator[tuple[Path, int]]:
    """A plan of P-20's raster, and the pixels of a tile."""
    try:
        from .rasters import write_raster
    except ImportError as error:
        raise Unavailable(f"{error.name} is not installed") from error
    sizes = workshop.sizes
    is_large = sizes.raster_pixels >= _LARGE
    side = sizes.raster_pixels if is_large else 4_096 if sizes.quick else 8_192
    path = workshop.path("build-ortho.tif")
    write_raster(path, side)
    plan_file = path.with_suffix(".toml")
    plan_file.write_text(f'sources = ["{path.name}"]\ncaptured_at = "2026-05-01"\n', encoding="utf-8")
    yield plan_file, _TILE if is_large else _SMALL_TILE


@contextmanager
def _planned(plan_file: Path, tile: int) -> Iterator[tuple[Runtime, PlannedBuild]]:
    from aerotile.adapters.input_files.build_plan import read_build_plan

    config = AerotileConfig(root=plan_file.parent / "root", tiles=TilesConfig(tile_size_pixels=tile))
    with Runtime(config) as runtime, runtime.planned_build(read_build_plan(plan_file), None) as planned:
        yield runtime, planned


def _cut(
    runtime: Runtime, planned: PlannedBuild, runner: BlockRunner, work: Path
) -> tuple[float, StepReport]:
    """Cut into a new folder; how long that took, and what came of it."""
    into = attrs.evolve(planned, plan=attrs.evolve(planned.plan, work=work))
    steps = runtime.build_steps(into, runner)
    began = time.perf_counter()
    report = cut_blocks(into.mosaic, steps, runner, lambda phase, done, total: None, places=planned.places)
    return time.perf_counter() - began, report


@contextmanager
def _two_workers(workshop: Workshop) -> Iterator[Samples]:
    from aerotile.adapters.composition.build_environment import environment_of
    from aerotile.adapters.dask.runner import runner_of_workers

    plan_file, tile = workshop.shared(_plan)
    seconds: list[float] = []
    reports: list[StepReport] = []
    with ExitStack() as stack:
        runtime, planned = stack.enter_context(_planned(plan_file, tile))
        scratch = str(workshop.path("build-workers"))
        runner = stack.enter_context(
            runner_of_workers(_WORKERS, scratch, partial(environment_of, planned.environment))
        )
        list(runner.run("warm", abs, range(20)))
        numbers = count()

        def sample(rounds: int) -> list[float]:
            for _ in range(rounds):
                took, report = _cut(runtime, planned, runner, workshop.path(f"build-shared-{next(numbers)}"))
                seconds.append(took)
                reports.append(report)
            return seconds[-rounds:]

        def facts() -> dict[str, float]:
            began = time.perf_counter()
            list(runner.run("idle", abs, range(_IDLE_BLOCKS)))
            idle = (time.perf_counter() - began) / _IDLE_BLOCKS
            a_block = statistics.median(seconds) / reports[0].blocks
            _, alone = _cut(runtime, planned, OneProcess(), workshop.path("build-alone"))
            same = [file.digest for file in alone.files]
            is_same = all([file.digest for file in report.files] == same for report in reports)
            return {
                "blocks": reports[0].blocks,
                "tiles": reports[0].rows,
                "tiles_a_second": reports[0].rows / statistics.median(seconds),
                "overhead_a_block": idle / (a_block - idle),
                "same_bytes": float(is_same),
            }

        yield Samples(sample=sample, facts=facts)


def _cut_alone(plan_file: str, tile: int, work: str) -> float:
    """In a process of its own: on one core."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    with _planned(Path(plan_file), tile) as (runtime, planned):
        seconds, _ = _cut(runtime, planned, OneProcess(), Path(work))
    return seconds


@contextmanager
def _one_core(workshop: Workshop) -> Iterator[Samples]:
    plan_file, tile = workshop.shared(_plan)
    numbers = count()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:

        def sample(rounds: int) -> list[float]:
            calls: list[Callable[[], float]] = [
                pool.submit(
                    _cut_alone, str(plan_file), tile, str(workshop.path(f"build-alone-{next(numbers)}"))
                ).result
                for _ in range(rounds)
            ]
            return [call() for call in calls]

        yield Samples(sample=sample)


CUT = MeasuredPath(
    id="P-21",
    subjects=(
        Subject(
            name="Aerotile",
            role=Role.OURS,
            open=_two_workers,
            needs=("distributed", "rasterio"),
            note="two workers of Dask, one thread each",
        ),
        Subject(
            name="one process on one core",
            role=Role.FLOOR,
            open=_one_core,
            needs=("rasterio",),
            note="the same functions without Dask",
        ),
    ),
    full=Effort(blocks=3, rounds=1),
    quick=Effort(blocks=3, rounds=1),
    warm_up=False,
)
