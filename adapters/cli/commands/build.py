"""`aerotile build`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ....domain.errors import (
    CaptureTimeInFutureError,
    DatasetError,
    DescriptorModelError,
    ImagerySourceError,
)
from ....domain.values.counted import counted
from ..areas import read_ground
from ..arguments import EXISTING_FILE, NUMBER, WholeRange
from ..command import command
from ..errors import BadInputError, JobFailedError, as_bad_input
from ..estimates import refuse_beside_estimate
from ..output import in_words, json_option, write_json, write_line
from ..progress import phase_bars
from ..session import Session

if TYPE_CHECKING:
    from ....domain.build_blocks import StepReport
    from ....domain.build_sizes import BuildSize
    from ...composition.building_parts import BuildReport

_LISTED = 5


@command(
    "aerotile build theatre.toml --estimate",
    "aerotile build theatre.toml",
    more="""\
The plan, whose paths begin in its folder:
  sources = ["ortho.tif"]
  zooms = [14, 15, 16, 17]
  area = ["11.4,48.0,11.8,48.3"]
  captured_at = 2024-05-01
  work = "/shared/theatre"
  [describe]
  model = "network.onnx"
""",
)
@click.argument("plan_file", type=EXISTING_FILE, metavar="PLAN.toml")
@click.option(
    "--number",
    type=NUMBER,
    metavar="N",
    help="The number of the new generation.  [default: the one behind the newest]",
)
@click.option(
    "--workers",
    type=WholeRange(1),
    metavar="N",
    help="Share the blocks among N processes of this machine (Dask).  [default: this process alone]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Share them among the workers of a Dask scheduler, such as tcp://ground:8786.",
)
@click.option(
    "--leave-out", is_flag=True, help="Seal without the places and tiles that were refused; they are counted."
)
@click.option(
    "--estimate",
    "only_estimate",
    is_flag=True,
    help="Count tiles, blocks and tasks, say what they take, and build nothing.",
)
@json_option
@click.pass_obj
def build(
    session: Session,
    plan_file: Path,
    number: int | None,
    workers: int | None,
    scheduler: str | None,
    leave_out: bool,
    only_estimate: bool,
    as_json: bool,
) -> None:
    """Build a base from imagery, without a store: cut, describe, index, seal.

    Work is done in blocks of about 256 tiles, whose files lie in the plan's folder `work`. An interrupted
    build goes on where it was. The same plan gives the same bytes under the same number. The base is not
    signed and not in use: see aerotile base sign and aerotile base switch.

    A place of a source that is no tile, or a tile that can't be described, is refused and named. Nothing is
    sealed then, unless --leave-out, and the exit code is 1.

    With --scheduler all machines need sources, work and network under the same paths, and the same versions:
    a worker that differs is refused by name.
    """
    from ...input_files.build_plan import read_build_plan

    plan = read_build_plan(plan_file)
    if workers is not None and scheduler is not None:
        raise BadInputError("--workers and --scheduler contradict each other", remedy="give one of them")
    if only_estimate:
        refuse_beside_estimate(number=number, workers=workers, scheduler=scheduler, leave_out=leave_out)
    area, outside_area = read_ground(plan.area, plan.corridor_m, f"{plan.file}: area")
    with session.runtime() as runtime:
        with ExitStack() as stack:
            with as_bad_input(
                CaptureTimeInFutureError, DatasetError, DescriptorModelError, ImagerySourceError
            ):
                planned = stack.enter_context(runtime.planned_build(plan, area))
            if only_estimate:
                _print_size(runtime.build_size(planned), runtime.graph_memory_bytes(planned), as_json=as_json)
                return
            runner = stack.enter_context(runtime.block_runner(planned, workers=workers, scheduler=scheduler))
            progress = stack.enter_context(phase_bars())
            report = runtime.build_base(
                planned, runner, number=number, despite_refusals=leave_out, progress=progress
            )
        facts = _facts(report) | {"left_out_of_area": dict(outside_area)}
        if as_json:
            write_json(facts)
        else:
            _print(report, facts)
        if report.refused or report.left_out:
            raise _refusals_error(report)


def _print_size(size: BuildSize, graph_memory: int, *, as_json: bool) -> None:
    facts = attrs.asdict(size) | {"work_bytes": size.work_bytes, "graph_memory_bytes": graph_memory}
    if as_json:
        write_json(facts)
        return
    write_line(
        f"{counted(size.tiles, 'tile')} in {counted(size.blocks, 'block')}, "
        f"{counted(size.descriptors, 'descriptor')} in {counted(size.shards, 'shard')}: "
        f"{counted(size.tasks, 'task')}"
    )
    write_line(
        f"working folder about {in_words(size.work_bytes)} (tiles {in_words(size.tile_bytes)}, descriptors "
        f"{in_words(size.descriptor_bytes)}, shards {in_words(size.shard_bytes)}), and the graph; "
        f"sorting {in_words(size.sorting_bytes)}"
    )
    if graph_memory:
        write_line(f"memory for the graph up to {in_words(graph_memory)}, on one machine")


def _facts(report: BuildReport) -> dict[str, Any]:
    manifest = report.manifest
    steps = {
        "cut": report.tiles,
        "describe": report.descriptors,
        "order": report.shards,
        "graph": report.graph,
    }
    return {
        "generation": None if manifest is None else manifest.name,
        "tiles": None if manifest is None else manifest.tiles,
        "index": None if manifest is None or manifest.index is None else attrs.asdict(manifest.index),
        "files": {}
        if manifest is None
        else {name: {"bytes": file.size, "digest": file.digest} for name, file in manifest.files.items()},
        "made_with": {} if manifest is None else manifest.made_with,
        "places": report.places,
        "steps": {name: _step(step) for name, step in steps.items() if step is not None},
        "left_out": report.left_out,
        "left_out_of_base": {} if manifest is None else manifest.left_out,
        "refusals": [attrs.asdict(refusal) for refusal in _refusals(report)],
        "seconds": {phase: round(seconds, 3) for phase, seconds in report.seconds.items()},
    }


def _step(step: StepReport) -> dict[str, Any]:
    return {
        "blocks": step.blocks,
        "taken_over": step.taken_over,
        "rows": step.rows,
        "counts": dict(sorted(step.counts.items())),
    }


def _refusals(report: BuildReport) -> list[Any]:
    steps = (report.tiles, report.descriptors)
    return [refusal for step in steps if step is not None for refusal in step.refusals]


def _print(report: BuildReport, facts: dict[str, Any]) -> None:
    for name, step in facts["steps"].items():
        again = f", {step['taken_over']} of them by an earlier run" if step["taken_over"] else ""
        write_line(f"{name}: {counted(step['rows'], 'row')} in {counted(step['blocks'], 'block')}{again}")
        for what, count in step["counts"].items():
            write_line(f"  {count} {what}")
    for what, count in report.left_out.items():
        write_line(f"left out: {count} x {what}")
    write_line(", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in report.seconds.items()))
    manifest = report.manifest
    if manifest is not None:
        for what, count in manifest.left_out.items():
            write_line(f"left out of the base: {count} {what}")
        size = in_words(sum(file.size for file in manifest.files.values()))
        write_line(
            f"generation {manifest.name}: {counted(manifest.tiles, 'tile')}, {size}; not signed, not in use"
        )


def _refusals_error(report: BuildReport) -> JobFailedError:
    parts, remedy = [], "look at what is left out of the sources"
    refusals = _refusals(report)
    if refusals:
        listed = ", ".join(f"{each.file} ({each.message})" for each in refusals[:_LISTED])
        parts.append(f"{len(refusals)} were refused, such as {listed}")
        remedy = refusals[0].remedy or "mend the sources"
        if report.manifest is None:
            parts.append("nothing was sealed")
            remedy = f"{remedy} and build again, or seal without them: --leave-out"
    if report.left_out:
        parts.append(
            f"{sum(report.left_out.values())} left out of the sources ({', '.join(report.left_out)})"
        )
    return JobFailedError("; ".join(parts), remedy=remedy)
