"""How an ingest ended: as JSON, as lines for a person, and as the error of the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ...domain.intake.report import Refusal
from ...domain.values.counted import counted
from ..input_files.tile_folder import TileFolder
from ..input_files.tile_scheme import TileScheme
from .errors import JobFailedError
from .intake_output import (
    ending_facts,
    evictions_error,
    list_contests,
    list_refusals,
    others_in_words,
    pace_in_words,
    print_coverage,
    print_evictions,
    print_pictures,
    print_replaced,
    print_undated_and_contested,
    stored_in_words,
)
from .output import write_json, write_line

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


@attrs.frozen(eq=False)
class IngestEnd:
    """How an ingest ended."""

    report: IntakeReport
    found: TileFolder
    refusals: Sequence[Refusal]
    """Those of the report, and what lies in the place of a tile and is none."""
    outside: Mapping[str, int]
    """How many tiles lie outside the bounds that each file of notes names."""
    scheme: TileScheme
    seconds: float
    ended: BaseException | None
    """What ended it before its last tile."""
    not_compared: str | None
    """Why the folder was not compared with the digest of its dataset; None where it was, or has none."""

    def show(self, call: Mapping[str, Any], *, list_all: bool, as_json: bool) -> None:
        """Print the end; `call`: what JSON begins with; `list_all`: name a single refusal, too."""
        if as_json:
            write_json({**call, "source_digest_not_compared": self.not_compared, **self._facts()})
            return
        # An error at the end that is no other names a single refusal.
        if list_all or len(self.refusals) > 1 or self.ended is not None:
            list_refusals(self.refusals)
        list_contests(self.report)
        self._write_counts()
        if self.not_compared is not None:
            write_line(f"the folder was not compared with the dataset: {self.not_compared}")

    def error(self) -> BaseException | None:
        """What the command ends with; None where all went in."""
        if self.ended is not None:
            return self.ended
        if self.refusals or self.found.left_out or self.report.undated or self.report.contests:
            return _refusals_error(self.report, self.refusals, self.found)
        return evictions_error(self.report.evicted) if self.report.evicted.count else None

    def _facts(self) -> dict[str, Any]:
        stopped_by = None if self.ended is None else str(self.ended) or "interrupted"
        return {
            "found": len(self.found.tiles) + len(self.found.problems),
            "stored": self.report.stored,
            "replaced": self.report.replaced,
            "downgraded": self.report.downgraded,
            "present": self.report.present,
            "present_without_dataset": self.report.present_without_dataset,
            "refused": len(self.refusals),
            "undated": self.report.undated,
            "contested": len(self.report.contests),
            "kept": self.report.kept,
            "left": len(self.found.tiles) - self.report.done,
            "left_out": dict(sorted(self.found.left_out.items())),
            "ignored_files": self.found.ignored,
            "outside_bounds": dict(self.outside),
            "stored_bytes": self.report.stored_bytes,
            "decoded": self.report.blank is not None,
            "blank": self.report.blank,
            "repeated": self.report.repeats.total,
            "not_known": list(_NOT_KNOWN) if self.report.blank is None else [],
            **ending_facts(self.report, self.seconds, stopped_by, self.refusals),
        }

    def _write_counts(self) -> None:
        report, found = self.report, self.found
        print_evictions(report.evicted)
        left = len(found.tiles) - report.done
        write_line(
            f"{counted(len(found.tiles) + len(found.problems), 'tile')} found: {stored_in_words(report)}, "
            f"{report.present} already present, {len(self.refusals)} refused"
            f"{f', {left} left' if left else ''}; {pace_in_words(report, self.seconds)}; "
            f"read in {self.scheme.value} order"
        )
        print_replaced(report)
        if found.left_out:
            write_line(f"{in_kinds(found)} left out")
        print_undated_and_contested(report)
        if found.ignored:
            write_line(
                f"{counted(found.ignored, 'file')} ignored: neither a picture in a tile's place nor a sidecar"
            )
        for file, count in self.outside.items():
            if count:
                write_line(f"{counted(count, 'tile lies', 'tiles lie')} outside the bounds that {file} names")
        if report.blank is None:
            write_line(f"not decoded, so not known: {'; '.join(_NOT_KNOWN)}")
        print_pictures(report)
        print_coverage(report)


def _refusals_error(report: IntakeReport, refusals: Sequence[Refusal], found: TileFolder) -> JobFailedError:
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
