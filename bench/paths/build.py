"""P-21: cutting a GeoTIFF on Dask with two workers, beside one process that is held to one core.

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

_TILE, _WORKERS = 64, 2
_IDLE_BLOCKS = 200


@contextmanager
def _raster(workshop: Workshop) -> Iterator[Path]:
    """A GeoTIFF in UTM with 1 m pixels: about 36 blocks of small tiles in a quick run, 100 in a full one."""
    try:
        import numpy as np
        import rasterio
        from affine import Affine
    except ImportError as error:
        raise Unavailable(f"{error.name} is not installed") from error
    side = 5_120 if workshop.sizes.quick else 8_192
    pixels = np.random.default_rng(1).integers(0, 256, (3, side, side), dtype=np.uint8)
    path = workshop.path("ortho.tif")
    facts = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "tiled": True}
    place = Affine(1.0, 0.0, 600_000.0, 0.0, -1.0, 5_400_000.0)
    with rasterio.open(path, "w", crs="EPSG:32632", transform=place, **facts) as file:
        file.write(pixels)
    path.with_suffix(".toml").write_text(
        f'sources = ["{path.name}"]\ncaptured_at = "2026-05-01"\n', encoding="utf-8"
    )
    yield path.with_suffix(".toml")


@contextmanager
def _planned(plan_file: Path) -> Iterator[tuple[Runtime, PlannedBuild]]:
    from aerotile.adapters.input_files.build_plan import read_build_plan

    config = AerotileConfig(root=plan_file.parent / "root", tiles=TilesConfig(tile_size_pixels=_TILE))
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

    plan_file = workshop.shared(_raster)
    seconds: list[float] = []
    reports: list[StepReport] = []
    with ExitStack() as stack:
        runtime, planned = stack.enter_context(_planned(plan_file))
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


def _cut_alone(plan_file: str, work: str) -> float:
    """In a process of its own: on one core."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    with _planned(Path(plan_file)) as (runtime, planned):
        seconds, _ = _cut(runtime, planned, OneProcess(), Path(work))
    return seconds


@contextmanager
def _one_core(workshop: Workshop) -> Iterator[Samples]:
    plan_file = workshop.shared(_raster)
    numbers = count()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:

        def sample(rounds: int) -> list[float]:
            calls: list[Callable[[], float]] = [
                pool.submit(
                    _cut_alone, str(plan_file), str(workshop.path(f"build-alone-{next(numbers)}"))
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
    full=Effort(blocks=5, rounds=1),
    quick=Effort(blocks=3, rounds=1),
)
