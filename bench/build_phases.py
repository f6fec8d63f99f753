"""P-21 by phase: a build on two workers of Dask beside one process that is held to one core.

    python bench/build_phases.py --side 20000 --tile 256 --rounds 2
    python bench/build_phases.py --side 5000 --tile 64 --rounds 4

The GeoTIFF of P-20 is cut into tiles, described as 64 numbers, put in order, sealed and indexed, in turn.
Opening the raster and beginning the workers are not timed. One JSON document on standard output: medians of
the seconds of each phase, the rate of two workers as a multiple of one core's, the seconds of processor time
(of two workers apart from the process that hands out blocks), and what a block costs beside its own work.
Each round is printed on standard error when it has ended.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from paths.rasters import write_raster

from aerotile import AerotileConfig, TilesConfig
from aerotile.adapters.build_files.one_process import OneProcess
from aerotile.adapters.composition import Runtime
from aerotile.adapters.composition.build_environment import environment_of
from aerotile.adapters.composition.build_planning import PlannedBuild
from aerotile.adapters.input_files.build_plan import read_build_plan
from aerotile.domain.ports.block_runner import BlockRunner

_CELLS, _IDLE_BLOCKS = 8, 300
_WARM_SIDE = 1_024
PHASES = ("cut", "describe", "order", "seal")


def describe(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The network: the brightness of 8 x 8 cells, less their mean, of length 1."""
    number, side = len(pictures), pictures.shape[1] // _CELLS
    cells = pictures.reshape(number, _CELLS, side, _CELLS, side, 3).mean(axis=(2, 4, 5), dtype=np.float32)
    rows = cells.reshape(number, -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-3)
    return unit + np.float32(1e-3)


describe.digest = hashlib.sha256(b"brightness of 8 x 8 cells").hexdigest()  # type: ignore[attr-defined] # of a callable network


def main() -> int:
    """Build in turn, and print what each took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--side", type=int, default=5_000, help="pixels of the raster")
    parser.add_argument("--tile", type=int, default=64, help="pixels of a tile")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--raster", type=Path, help="where the raster is, or is made for further runs")
    arguments = parser.parse_args()
    from aerotile.adapters.dask.runner import runner_of_workers

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aerotile-phases-")))
        warm_plan = write_plan(folder / "warm", folder / "warm.tif", _WARM_SIDE)
        plan_file = write_plan(folder / "whole", arguments.raster or folder / "whole.tif", arguments.side)
        pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        warm = stack.enter_context(_planned(warm_plan, arguments.tile))
        runtime, planned = stack.enter_context(_planned(plan_file, arguments.tile))
        runner = stack.enter_context(
            runner_of_workers(2, str(folder), partial(environment_of, planned.environment))
        )
        _build(*warm, runner)  # the first imports
        pool.submit(_alone, str(warm_plan), arguments.tile).result()
        alone, shared = [], []
        for number in range(arguments.rounds):
            one = pool.submit(_alone, str(plan_file), arguments.tile).result()
            two = _build(runtime, planned, runner)
            assert one.pop("digests") == two.pop("digests"), "other bytes"
            alone.append(one)
            shared.append(two)
            sys.stderr.write(f"{json.dumps({'round': number, 'one core': one, 'two workers': two})}\n")
        began = time.perf_counter()
        list(runner.run("idle", abs, range(_IDLE_BLOCKS)))
        idle = (time.perf_counter() - began) / _IDLE_BLOCKS
    report: dict[str, Any] = {"tiles": one["tiles"], "blocks": one["blocks"], "load": os.getloadavg()[0]}
    for phase in (*PHASES, "all"):
        report[phase] = _compared(phase, alone, shared)
    a_block = statistics.median(b["seconds"]["cut"] for b in shared) / one["blocks"]
    report["idle_block_ms"] = round(idle * 1e3, 2)
    report["overhead_a_block"] = round(idle / (a_block - idle), 4)
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def _compared(phase: str, alone: list[dict[str, Any]], shared: list[dict[str, Any]]) -> dict[str, float]:
    """Medians of one phase, or of all."""

    def of(found: dict[str, Any], what: str) -> float:
        seconds = found[what]
        return sum(seconds.values()) if phase == "all" else float(seconds[phase])

    def median(rounds: list[dict[str, Any]], what: str) -> float:
        return round(statistics.median(of(one, what) for one in rounds), 3)

    rates = [of(a, "seconds") / of(b, "seconds") for a, b in zip(alone, shared, strict=True)]
    return {
        "one_core_s": median(alone, "seconds"),
        "two_workers_s": median(shared, "seconds"),
        "rate": round(statistics.median(rates), 2),
        "one_core_processor_s": median(alone, "own"),
        "workers_processor_s": median(shared, "others"),
        "first_processor_s": median(shared, "own"),
    }


def write_plan(folder: Path, raster: Path, side: int) -> Path:
    folder.mkdir()
    if not raster.exists():
        write_raster(raster, side)
    plan_file = folder / "plan.toml"
    plan_file.write_text(
        f'sources = ["{raster.resolve()}"]\ncaptured_at = "2026-05-01"\n'
        '[describe]\ncallable = "build_phases:describe"\n',
        encoding="utf-8",
    )
    return plan_file


@contextmanager
def _planned(plan_file: Path, tile: int, name: str = "shared") -> Iterator[tuple[Runtime, PlannedBuild]]:
    folder = plan_file.parent / name
    config = AerotileConfig(root=folder / "root", tiles=TilesConfig(tile_size_pixels=tile))
    with Runtime(config) as runtime, runtime.planned_build(read_build_plan(plan_file), None) as planned:
        yield runtime, attrs.evolve(planned, plan=attrs.evolve(planned.plan, work=folder / "work"))


@attrs.define
class ProcessorTime:
    """Seconds of processor time by phase: of this process, and of those that it began and that live."""

    own: dict[str, float] = attrs.field(factory=dict)
    others: dict[str, float] = attrs.field(factory=dict)
    _phase: str | None = None
    _before: tuple[float, float] = (0.0, 0.0)

    def enter(self, phase: str | None) -> None:
        """What comes now is of this phase."""
        now = _processor_seconds()
        if self._phase is not None:
            self.own[self._phase] = now[0] - self._before[0]
            self.others[self._phase] = now[1] - self._before[1]
        self._phase, self._before = phase, now

    def progress(self, phase: str, done: int, total: int | None) -> None:
        """As a build calls it; the graph counts to the seal, which runs beside it."""
        if phase != self._phase and phase in PHASES:
            self.enter(phase)


def _build(runtime: Runtime, planned: PlannedBuild, runner: BlockRunner) -> dict[str, Any]:
    """Build into new folders: the seconds of each phase, and the digests."""
    processor = ProcessorTime()
    report = runtime.build_base(planned, runner, number=1, progress=processor.progress)
    processor.enter(None)
    shutil.rmtree(planned.plan.work)
    shutil.rmtree(runtime.config.root)
    assert report.manifest is not None
    return {
        "seconds": {phase: report.seconds[phase] for phase in PHASES},
        "own": processor.own,
        "others": processor.others,
        "tiles": report.tiles.rows,
        "blocks": report.tiles.blocks,
        "digests": {name: file.digest for name, file in report.manifest.files.items()},
    }


def _processor_seconds() -> tuple[float, float]:
    mine = os.getpid()
    others = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == str(mine):
            others += int(fields[11]) + int(fields[12])
    return time.process_time(), others / os.sysconf("SC_CLK_TCK")


_held = ExitStack()
_opened: dict[str, tuple[Runtime, PlannedBuild]] = {}


def _alone(plan_file: str, tile: int) -> dict[str, Any]:
    """In a process of its own: on one core."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    if plan_file not in _opened:
        _opened[plan_file] = _held.enter_context(_planned(Path(plan_file), tile, "alone"))
    return _build(*_opened[plan_file], OneProcess())


if __name__ == "__main__":
    sys.exit(main())
