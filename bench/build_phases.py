"""P-21 by phase: a build on two workers of Dask beside one process that is held to one core.

    python bench/build_phases.py --side 6000 --rounds 4

The same GeoTIFF is cut into tiles of 64 pixels, described as 64 numbers, put in order, sealed and indexed, in
turn. Opening the raster and beginning the workers are not timed. One JSON document on standard output:
medians of the seconds of each phase, the rate of two workers as a multiple of one core's, the seconds of
processor time that both take, and what a block costs beside its own work.
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
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from aerotile import AerotileConfig, TilesConfig
from aerotile.adapters.build_files.one_process import OneProcess
from aerotile.adapters.composition import Runtime
from aerotile.adapters.composition.build_environment import environment_of
from aerotile.adapters.composition.build_planning import PlannedBuild
from aerotile.adapters.input_files.build_plan import read_build_plan
from aerotile.domain.ports.block_runner import BlockRunner

_TILE, _CELLS, _IDLE_BLOCKS = 64, 8, 300
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
    parser.add_argument("--side", type=int, default=6000, help="pixels of the raster")
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    from aerotile.adapters.dask.runner import runner_of_workers

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aerotile-phases-")))
        plan_file = _plan(folder, arguments.side)
        pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
        runtime, planned = stack.enter_context(_planned(plan_file, folder / "root"))
        runner = stack.enter_context(
            runner_of_workers(2, str(folder), partial(environment_of, planned.environment))
        )
        numbers = count(1)
        alone, shared = [], []
        for number in range(arguments.rounds + 1):
            one = pool.submit(_alone, str(plan_file), str(folder / "alone"), next(numbers)).result()
            two = _build(runtime, planned, runner, folder / "work", next(numbers))
            assert one["digests"] == two["digests"], "other bytes"
            if number:  # the first opens the raster and imports
                alone.append(one)
                shared.append(two)
        began = time.perf_counter()
        list(runner.run("idle", abs, range(_IDLE_BLOCKS)))
        idle = (time.perf_counter() - began) / _IDLE_BLOCKS
    report: dict[str, Any] = {"tiles": one["tiles"], "blocks": one["blocks"], "load": os.getloadavg()[0]}
    for phase in (*PHASES, "all"):
        pairs = [(_seconds(a, phase), _seconds(b, phase)) for a, b in zip(alone, shared, strict=True)]
        report[phase] = {
            "one_core_s": round(statistics.median(a for a, _ in pairs), 3),
            "two_workers_s": round(statistics.median(b for _, b in pairs), 3),
            "rate": round(statistics.median(a / b for a, b in pairs), 2),
        }
    report["processor_s"] = {
        "one_core": round(statistics.median(a["processor"] for a in alone), 2),
        "two_workers": round(statistics.median(b["processor"] for b in shared), 2),
    }
    a_block = statistics.median(b["cut"] for b in shared) / one["blocks"]
    report["idle_block_ms"] = round(idle * 1e3, 2)
    report["overhead_a_block"] = round(idle / (a_block - idle), 4)
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


def _seconds(found: dict[str, Any], phase: str) -> float:
    return sum(found[each] for each in PHASES) if phase == "all" else float(found[phase])


def _plan(folder: Path, side: int) -> Path:
    import rasterio
    from affine import Affine

    facts = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "tiled": True}
    place = Affine(1.0, 0.0, 600_000.0, 0.0, -1.0, 5_400_000.0)
    with rasterio.open(folder / "ortho.tif", "w", crs="EPSG:32632", transform=place, **facts) as file:
        file.write(np.random.default_rng(1).integers(0, 256, (3, side, side), dtype=np.uint8))
    plan_file = folder / "plan.toml"
    plan_file.write_text(
        'sources = ["ortho.tif"]\ncaptured_at = "2026-05-01"\n'
        '[describe]\ncallable = "build_phases:describe"\n',
        encoding="utf-8",
    )
    return plan_file


@contextmanager
def _planned(plan_file: Path, root: Path) -> Iterator[tuple[Runtime, PlannedBuild]]:
    config = AerotileConfig(root=root, tiles=TilesConfig(tile_size_pixels=_TILE))
    with Runtime(config) as runtime, runtime.planned_build(read_build_plan(plan_file), None) as planned:
        yield runtime, planned


def _build(
    runtime: Runtime, planned: PlannedBuild, runner: BlockRunner, work: Path, number: int
) -> dict[str, Any]:
    """Build into a new folder: the seconds of each phase, and the digests."""
    into = attrs.evolve(planned, plan=attrs.evolve(planned.plan, work=work))
    before = _processor_seconds()
    report = runtime.build_base(into, runner, number=number)
    taken = _processor_seconds() - before
    shutil.rmtree(work)
    assert report.manifest is not None
    files = report.manifest.files
    return {phase: report.seconds[phase] for phase in PHASES} | {
        "tiles": report.tiles.rows,
        "blocks": report.tiles.blocks,
        "processor": taken,
        # The archive names its generation.
        "digests": {name: file.digest for name, file in files.items() if name != "tiles.pmtiles"},
    }


def _processor_seconds() -> float:
    """Of this process and of those that it began and that live."""
    mine = str(os.getpid())
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = stat.parent.name, stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if mine in (name, fields[1]):
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


_held = ExitStack()
_opened: list[tuple[Runtime, PlannedBuild]] = []


def _alone(plan_file: str, folder: str, number: int) -> dict[str, Any]:
    """In a process of its own: on one core."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    if not _opened:
        _opened.append(_held.enter_context(_planned(Path(plan_file), Path(folder))))
    runtime, planned = _opened[0]
    return _build(runtime, planned, OneProcess(), Path(folder, "work"), number)


if __name__ == "__main__":
    sys.exit(main())
