"""One run: measure, judge, write the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import memory
import mixed_load
import pytest
from paths.built_indexes import searched_index
from targets import QUICK_TOLERANCE

from . import jetson, report
from .machine import machine_facts
from .picture import draw
from .plugin import BenchPlugin
from .results import RunResults
from .subjects import GrowthCurve, MeasuredPath
from .workshop import Sizes, Workshop

BENCH = Path(__file__).resolve().parent.parent
FAILED = 1
MISSED = 3


@attrs.frozen(kw_only=True)
class Plan:
    """What a run is to do."""

    paths: tuple[MeasuredPath, ...]
    curves: tuple[GrowthCurve, ...]
    output: Path
    data: Path
    sizes: Sizes
    blocks: int | None
    """So many of each row; None: as many as the row says."""
    whole: bool
    """Every row, and the mixed load and the memory too; otherwise only the rows of `paths`."""
    on_jetson: bool
    dsn: str | None

    @property
    def tolerance(self) -> float:
        """How far a limit may be missed."""
        return QUICK_TOLERANCE if self.sizes.quick else 1.0


@attrs.frozen
class Measured:
    """What came of it."""

    results: RunResults
    complete: bool
    """Whether every subject ran that could."""
    memory: dict[str, Any] | None
    """The figures of `memory.py`; None when they failed or were not asked for."""


def measure(plan: Plan) -> Measured:
    """Run pytest over all blocks, and look at the memory while the large stores are still there."""
    workshop = Workshop(plan.data, plan.sizes, dsn=plan.dsn)
    plugin = BenchPlugin(workshop, plan.paths, plan.curves, plan.blocks)
    try:
        ended = pytest.main(
            [
                str(BENCH / "test_bench.py"),
                *("-c", str(BENCH / "pytest.ini"), "--rootdir", str(BENCH), "-p", "no:cacheprovider"),
                *("-q", "--no-header", "--tb=short"),
            ],
            plugins=[plugin],
        )
        found = memory_facts(workshop) if plan.whole else None
    finally:
        workshop.close()
    return Measured(plugin.results, ended == pytest.ExitCode.OK, found)


def memory_facts(workshop: Workshop) -> dict[str, Any] | None:
    """What a store and an index of this run's sizes have in memory; None when that failed."""
    try:
        return {
            "store": memory.store_memory(workshop, workshop.sizes.catalogue_tiles),
            "index": _index_memory(workshop),
        }
    except RuntimeError as failure:
        sys.stdout.write(f"the memory could not be looked at: {failure}\n")
        return None


def _index_memory(workshop: Workshop) -> dict[str, Any]:
    """Of the index that P-7 searches."""
    built = workshop.shared(searched_index)
    root = workshop.path("memory-index")
    root.mkdir()
    (root / "index").symlink_to(built.root, target_is_directory=True)
    return memory.index_memory(root, *built.wanted.descriptors.shape)


def run(plan: Plan) -> int:
    """Measure and write the report; the exit code of the command."""
    plan.output.mkdir(parents=True, exist_ok=True)
    facts = machine_facts(plan.output)
    warned: list[str] = []
    if plan.on_jetson:
        facts["jetson"] = before = jetson.jetson_facts(plan.output)
        warned = jetson.warnings(before)
        _warn(warned)
    measured = measure(plan)
    results = measured.results
    others = {"memory": measured.memory, "mixed_load": _mixed_load(plan)} if plan.whole else {}
    if plan.on_jetson:
        facts["jetson_afterwards"] = jetson.jetson_facts(plan.output)
    wanted = {path.id for path in plan.paths}
    table = [
        row for row in report.rows(results, tolerance=plan.tolerance) if plan.whole or row.target.id in wanted
    ]
    content = report.as_json(table, results, facts)
    report.write_json(plan.output / "bench.json", {**content, "quick": plan.sizes.quick, **others})
    (plan.output / "bench.md").write_text(report.markdown(table), encoding="utf-8")
    sys.stdout.write(report.plain(table, plan.tolerance))
    sys.stdout.write(report.cores_text(table, len(os.sched_getaffinity(0))))
    sys.stdout.write(report.growth_text(results))
    sys.stdout.write(report.spent_text(results))
    for describe, found in (
        (memory.describe, measured.memory),
        (mixed_load.describe, others.get("mixed_load")),
    ):
        sys.stdout.write("" if found is None else f"{describe(found)}\n")
    _draw(plan, table, results, facts)
    _warn(warned)
    if not measured.complete or None in others.values():
        return FAILED
    return MISSED if report.any_missed(table) else 0


def _mixed_load(plan: Plan) -> dict[str, Any] | None:
    """The figures of `mixed_load.py` in a process of its own; None when it failed."""
    command = [sys.executable, str(BENCH / "mixed_load.py"), "--seconds", "3" if plan.sizes.quick else "20"]
    done = subprocess.run(
        [*command, "--json", "--folder", str(plan.output)], stdout=subprocess.PIPE, text=True, check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def _draw(plan: Plan, table: list[report.Row], results: RunResults, facts: dict[str, object]) -> None:
    path = plan.output / "bench.png"
    caption = f"{facts['processor']}, {facts['usable_cores']} cores, {facts['system']}, {facts['taken_at']}"
    try:
        draw(path, table, results, caption)
    except ImportError as missing:
        sys.stdout.write(f"no picture: {missing}\n")


def _warn(warned: list[str]) -> None:
    for warning in warned:
        sys.stdout.write(f"WARNING: {warning}\n")
