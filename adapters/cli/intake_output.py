"""What commands that bring tiles in say of them: refusals, evictions, pictures of one colour, the map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ...domain.values.counted import counted
from .coverage import coverage_facts, write_coverage
from .errors import JobFailedError, one_line
from .output import in_words, write_line

if TYPE_CHECKING:
    from ...domain.intake.report import IntakeReport, Refusal
    from ...domain.values.eviction_tally import EvictionTally

_LISTED = 20


def warn_of_evictions(needed_bytes: int, free_bytes: int) -> None:
    """Say on standard error that tiles will go to make room for these."""
    click.echo(
        f"warning: new tiles need {in_words(needed_bytes)}, the budget has room for {in_words(free_bytes)}; "
        "the least recently used tiles make place for them",
        err=True,
    )


def list_refusals(refusals: Sequence[Refusal]) -> None:
    """The refused tiles on standard error; the first of many."""
    for refusal in refusals[:_LISTED]:
        remedy = f" — {refusal.remedy}" if refusal.remedy else ""
        click.echo(one_line(f"refused: {refusal.file}: {refusal.message}{remedy}"), err=True)
    if len(refusals) > _LISTED:
        click.echo(f"refused: {len(refusals) - _LISTED} more; --json lists them all", err=True)


def list_contests(report: IntakeReport) -> None:
    """The places that another dataset holds, on standard error; the first of many."""
    for contest in report.contests[:_LISTED]:
        holder = "no dataset" if contest.held_by is None else f"the dataset {contest.held_by}"
        click.echo(one_line(f"contested: {contest.file}: {contest.tile} is stored, of {holder}"), err=True)
    if len(report.contests) > _LISTED:
        click.echo(f"contested: {len(report.contests) - _LISTED} more; --json lists them all", err=True)


def refusal_facts(refusals: Sequence[Refusal]) -> list[dict[str, Any]]:
    """The refused tiles, all of them."""
    return [attrs.asdict(refusal) | {"message": one_line(refusal.message)} for refusal in refusals]


def ending_facts(
    report: IntakeReport, seconds: float, stopped_by: str | None, refusals: Sequence[Refusal]
) -> dict[str, Any]:
    """What the JSON of an ingest and of a provision ends with."""
    return {
        "coverage": coverage_facts(report.coverage()),
        "seconds": round(seconds, 3),
        "stored_per_second": round(_per_second(report, seconds), 1),
        "evicted": eviction_facts(report.evicted),
        "stopped_by": stopped_by,
        "refusals": refusal_facts(refusals),
        "contests": [attrs.asdict(contest) for contest in report.contests],
    }


def stored_in_words(report: IntakeReport) -> str:
    """How many tiles were stored, replaced and downgraded."""
    replaced = f", {report.replaced} replaced" if report.replaced else ""
    return f"{report.stored} stored{replaced} ({report.downgraded} of them downgraded)"


def others_in_words(report: IntakeReport) -> str:
    """How many tiles of the run went into the store or lay there, beside those that an error names."""
    count = report.stored + report.replaced + report.present
    if not count:
        return "no other was stored"
    return counted(count, "other was stored or is present", "others were stored or are present")


def pace_in_words(report: IntakeReport, seconds: float) -> str:
    """How many bytes were stored in how much time."""
    pace = f"{_per_second(report, seconds):.0f} tiles/s"
    return f"{in_words(report.stored_bytes)} in {seconds:.1f} s, {pace}"


def _per_second(report: IntakeReport, seconds: float) -> float:
    return (report.stored + report.replaced) / seconds if seconds else 0.0


def print_undated_and_contested(report: IntakeReport) -> None:
    """How many tiles have no date, how many lie where another dataset has tiles, and what became of these."""
    if report.undated:
        write_line(f"{report.undated} left out: no capture date is known for them")
    if report.contests:
        write_line(f"{len(report.contests)} contested: another dataset, or none, has a tile in their places")
    if report.kept:
        write_line(f"{counted(report.kept, 'stored tile')} of other datasets kept")
    if report.present_without_dataset:
        write_line(f"{report.present_without_dataset} of those present are stored without a dataset")


def print_coverage(report: IntakeReport) -> None:
    """The ground that the stored tiles cover."""
    write_coverage(coverage_facts(report.coverage()))


def print_evictions(evicted: EvictionTally) -> None:
    """The tiles that went to make room; the first of many."""
    for tile_id in evicted.listed[:_LISTED]:
        click.echo(f"evicted: {tile_id}", err=True)
    if evicted.count > _LISTED:
        click.echo(f"evicted: {evicted.count - _LISTED} more; --json lists {len(evicted.listed)}", err=True)
    if evicted.count:
        write_line(
            f"{counted(evicted.count, 'tile')} evicted to make room, {in_words(evicted.freed_bytes)} freed"
        )


def eviction_facts(evicted: EvictionTally) -> dict[str, Any]:
    """How many tiles went to make room, and the first of them."""
    return {
        "count": evicted.count,
        "freed_bytes": evicted.freed_bytes,
        "tiles": [str(tile_id) for tile_id in evicted.listed],
    }


def evictions_error(evicted: EvictionTally) -> JobFailedError:
    """The error of a command that stored its tiles at the cost of others."""
    return JobFailedError(
        f"{counted(evicted.count, 'tile was', 'tiles were')} evicted to make room",
        remedy="raise budget.max_bytes and ingest them again; aerotile pin keeps tiles from eviction",
    )


def print_replaced(report: IntakeReport) -> None:
    """How many tiles were replaced, and that their descriptors are those of the older imagery."""
    if report.replaced:
        write_line(
            "an index that was built before has descriptors of the older imagery: describe the "
            f"{counted(report.replaced, 'replaced tile')} anew, and run aerotile index build"
        )


def print_pictures(report: IntakeReport) -> None:
    """How many tiles are of one colour, and how many share their bytes with another one."""
    if report.blank:
        write_line(f"{report.blank} blank: all of one colour")
    if most := report.repeats.most():
        count, first = most
        write_line(
            f"{report.repeats.total} repeated: their bytes lie at several places, "
            f"most often those of {first} ({count} times)"
        )


def draw_map(map_file: Path | None, report: IntakeReport) -> JobFailedError | None:
    """Draw the map, if any is wanted; returns why that failed, so that the facts are shown all the same."""
    if map_file is None:
        return None
    from .coverage_map import write_map

    try:
        write_map(map_file, report.coverage())
    except JobFailedError as error:
        return error
    return None
