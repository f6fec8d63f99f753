"""One run: measure, judge, write the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from targets import QUICK_TOLERANCE

from . import jetson, report
from .machine import machine_facts
from .picture import draw
from .plugin import BenchPlugin
from .results import RunResults
from .subjects import GrowthCurve, MeasuredPath
from .workshop import FULL, QUICK, Workshop

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
    quick: bool
    whole: bool
    """Every row, and the mixed load and the memory too; otherwise only the rows of `paths`."""
    on_jetson: bool
    dsn: str | None

    @property
    def tolerance(self) -> float:
        """How far a limit may be missed."""
        return QUICK_TOLERANCE if self.quick else 1.0


def measure(plan: Plan) -> tuple[RunResults, bool]:
    """Run pytest over all blocks; the results, and whether every subject ran that could."""
    workshop = Workshop(plan.data, QUICK if plan.quick else FULL, dsn=plan.dsn)
    plugin = BenchPlugin(workshop, plan.paths, plan.curves)
    try:
        ended = pytest.main(
            [
                str(BENCH / "test_bench.py"),
                *("-c", str(BENCH / "pytest.ini"), "--rootdir", str(BENCH), "-p", "no:cacheprovider"),
                *("-q", "--no-header", "--tb=short"),
            ],
            plugins=[plugin],
        )
    finally:
        workshop.close()
    return plugin.results, ended == pytest.ExitCode.OK


def run(plan: Plan) -> int:
    """Measure and write the report; the exit code of the command."""
    plan.output.mkdir(parents=True, exist_ok=True)
    facts = machine_facts(plan.output)
    warned: list[str] = []
    if plan.on_jetson:
        facts["jetson"] = before = jetson.jetson_facts(plan.output)
        warned = jetson.warnings(before)
        _warn(warned)
    results, complete = measure(plan)
    others, others_complete = _others(plan) if plan.whole else ({}, True)
    if plan.on_jetson:
        facts["jetson_afterwards"] = jetson.jetson_facts(plan.output)
    wanted = {path.id for path in plan.paths}
    table = [
        row for row in report.rows(results, tolerance=plan.tolerance) if plan.whole or row.target.id in wanted
    ]
    content = report.as_json(table, results, facts)
    report.write_json(plan.output / "bench.json", {**content, "quick": plan.quick, **others})
    (plan.output / "bench.md").write_text(report.markdown(table), encoding="utf-8")
    sys.stdout.write(report.plain(table, plan.tolerance))
    sys.stdout.write(report.growth_text(results))
    for name, found in others.items():
        sys.stdout.write(f"{name}: {json.dumps(found)}\n")
    _draw(plan, table, results, facts)
    _warn(warned)
    if not (complete and others_complete):
        return FAILED
    return MISSED if report.any_missed(table) else 0


def _others(plan: Plan) -> tuple[dict[str, Any], bool]:
    """What has no row: the mixed load and the memory, each in a process of its own."""
    seconds, tiles, descriptors = ("3", "20000", "5000") if plan.quick else ("60", "1000000", "100000")
    commands = {
        "mixed_load": ["mixed_load.py", "--seconds", seconds],
        "memory": ["memory.py", "--tiles", tiles, "--descriptors", descriptors],
    }
    found: dict[str, Any] = {}
    for name, command in commands.items():
        program = [sys.executable, str(BENCH / command[0]), *command[1:]]
        done = subprocess.run(
            [*program, "--json", "--folder", str(plan.output)], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode == 0:
            found[name] = json.loads(done.stdout)
    return found, len(found) == len(commands)


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
