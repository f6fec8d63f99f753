"""How an ingest ended: its facts as JSON, and as lines for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...domain.intake.report import Refusal
from ...domain.values.counted import counted
from ..input_files.tile_folder import TileFolder
from ..input_files.tile_scheme import TileScheme
from .errors import JobFailedError
from .intake_output import (
    ending_facts,
    others_in_words,
    pace_in_words,
    print_coverage,
    print_evictions,
    print_pictures,
    print_replaced,
    print_undated_and_contested,
    stored_in_words,
)
from .output import write_line

if TYPE_CHECKING:
    from ...domain.intake.report import IntakeReport

_NOT_KNOWN = ("whether a picture ends before its size does", "whether a picture is of one colour")
"""What only decoding shows."""


def in_kinds(found: TileFolder) -> str:
    """What else lies in the places of tiles, by kind."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(found.left_out.items()))


def _remedy_of(found: TileFolder) -> str:
    """What to do about pictures that were left out."""
    if all(kind.startswith("JPEG ") for kind in found.left_out):
        return "lay them out as ZOOM/X/Y.jpg, numbers without leading zeros, and run again"
    return "convert them to JPEG and run again"


def refusals_error(report: IntakeReport, refusals: Sequence[Refusal], found: TileFolder) -> JobFailedError:
    """The error of an ingest that refused tiles or left some out."""
    count = len(found.tiles) + len(found.problems)
    parts = []
    remedy = "mend or remove it and run again" if len(refusals) == 1 else "mend or remove them and run again"
    if len(refusals) == 1:
        parts.append(f"1 of {count} tiles was refused: {refusals[0].file}: {refusals[0].message}")
        remedy = refusals[0].remedy or remedy
    elif refusals:
        parts.append(f"{len(refusals)} of {count} tiles were refused")
    if found.left_out:
        parts.append(f"{in_kinds(found)} left out")
        remedy = remedy if refusals else _remedy_of(found)
    if report.undated:
        parts.append(
            f"{report.undated} of {count} tiles have no capture date, such as {report.first_undated}"
        )
        if not (refusals or found.left_out):
            remedy = "add their lines to the CSV, or give the STAC item of their ground, and run again"
    if report.contests:
        parts.append(f"{len(report.contests)} of {count} tiles lie where another dataset has tiles")
        if not (refusals or found.left_out or report.undated):
            remedy = (
                "run again with --keep to leave the stored tiles, or with --replace to put newer ones there"
            )
    return JobFailedError("; ".join(parts), remedy=f"{remedy}; {others_in_words(report)}")


def ingest_facts(
    report: IntakeReport,
    found: TileFolder,
    refusals: Sequence[Refusal],
    outside: Mapping[str, int],
    seconds: float,
    ended: BaseException | None,
) -> dict[str, Any]:
    """How the ingest ended, and what `ended` it before its last tile, as JSON shows it."""
    stopped_by = None if ended is None else str(ended) or "interrupted"
    return {
        "found": len(found.tiles) + len(found.problems),
        "stored": report.stored,
        "replaced": report.replaced,
        "downgraded": report.downgraded,
        "present": report.present,
        "present_without_dataset": report.present_without_dataset,
        "refused": len(refusals),
        "undated": report.undated,
        "contested": len(report.contests),
        "kept": report.kept,
        "left": len(found.tiles) - report.done,
        "left_out": dict(sorted(found.left_out.items())),
        "ignored_files": found.ignored,
        "outside_bounds": dict(outside),
        "stored_bytes": report.stored_bytes,
        "decoded": report.blank is not None,
        "blank": report.blank,
        "repeated": report.repeats.total,
        "not_known": list(_NOT_KNOWN) if report.blank is None else [],
        **ending_facts(report, seconds, stopped_by, refusals),
    }


def print_ingest(
    report: IntakeReport,
    found: TileFolder,
    refusals: Sequence[Refusal],
    outside: Mapping[str, int],
    scheme: TileScheme,
    seconds: float,
) -> None:
    """How the ingest ended, for a person."""
    print_evictions(report.evicted)
    left = len(found.tiles) - report.done
    write_line(
        f"{counted(len(found.tiles) + len(found.problems), 'tile')} found: {stored_in_words(report)}, "
        f"{report.present} already present, {len(refusals)} refused{f', {left} left' if left else ''}; "
        f"{pace_in_words(report, seconds)}; "
        f"read in {scheme.value} order"
    )
    print_replaced(report)
    if found.left_out:
        write_line(f"{in_kinds(found)} left out")
    print_undated_and_contested(report)
    if found.ignored:
        write_line(
            f"{counted(found.ignored, 'file')} ignored: neither a picture in a tile's place nor a sidecar"
        )
    for file, count in outside.items():
        if count:
            write_line(f"{counted(count, 'tile lies', 'tiles lie')} outside the bounds that {file} names")
    if report.blank is None:
        write_line(f"not decoded, so not known: {'; '.join(_NOT_KNOWN)}")
    print_pictures(report)
    print_coverage(report)
