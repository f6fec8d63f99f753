"""How a provision ended: as JSON, as lines for a person, and as the error of the command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ...domain.values.counted import counted
from .errors import JobFailedError, one_line
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
from .provision_plan import write_left_out

if TYPE_CHECKING:
    from ...domain.intake.provision import ProvisionReport
    from .provision_plan import ProvisionPlan


@attrs.frozen(eq=False)
class ProvisionEnd:
    """How a provision ended."""

    plan: ProvisionPlan
    report: ProvisionReport
    seconds: float
    ended: BaseException | None
    """What ended it before its last place, or spoilt it."""
    dates_from: str | None
    """Where the options took the capture dates from."""
    not_compared: str | None
    """Why the source was not compared with the digest of its dataset; None where it was, or has none."""

    def show(self, *, list_all: bool, as_json: bool) -> None:
        """Print the end; `list_all`: name a single refusal, too, which is else the error of the command."""
        intake = self.report.intake
        if as_json:
            write_json(self.plan.facts() | self._facts())
            return
        if list_all or intake.refused > 1 or self.ended is not None:
            list_refusals(intake.refusals)
        list_contests(intake)
        write_left_out(self.plan.left_out())
        self._write_counts()
        self.plan.write_not_in_sources()
        if self.not_compared is not None:
            write_line(f"the source was not compared with the dataset: {self.not_compared}")

    def _facts(self) -> dict[str, Any]:
        intake = self.report.intake
        return {
            "source_digest_not_compared": self.not_compared,
            "stored": intake.stored,
            "replaced": intake.replaced,
            "downgraded": intake.downgraded,
            "present": intake.present,
            "not_compared": self.report.not_compared,
            "unchanged": self.report.unchanged,
            "refused": intake.refused,
            "undated": intake.undated,
            "dates_from": self.dates_from or self.report.dates_from,
            "contested": len(intake.contests),
            "kept": intake.kept,
            "verbatim": self.report.verbatim,
            "encoded": dict(sorted(self.report.encoded.items())),
            "partial": self.report.partial,
            "partial_taken": self.report.partial_taken,
            "empty": self.report.empty,
            "faults": dict(sorted(self.report.faults.items())),
            "stored_bytes": intake.stored_bytes,
            "blank": intake.blank,
            "repeated": intake.repeats.total,
            **ending_facts(
                intake,
                self.seconds,
                None if self.ended is None else one_line(str(self.ended) or "interrupted"),
                intake.refusals,
            ),
        }

    def _write_counts(self) -> None:
        report, intake = self.report, self.report.intake
        print_evictions(intake.evicted)
        not_read = f" ({report.not_compared} of them not read again)" if report.not_compared else ""
        not_read += f" ({report.unchanged} of them unchanged on their server)" if report.unchanged else ""
        write_line(
            f"{stored_in_words(intake)}, {intake.present} already present{not_read}, "
            f"{intake.refused} refused; {pace_in_words(intake, self.seconds)}"
        )
        write_line(
            f"read: {report.verbatim} verbatim, {report.encoded.total()} encoded anew{_kinds(report.encoded)}"
        )
        write_line(f"capture dates: {self.dates_from or report.dates_from}")
        if report.partial:
            write_line(
                f"{report.partial} left out: a part of them shows no ground; --partial takes them, too"
            )
        if report.partial_taken:
            write_line(f"{report.partial_taken} of them show no ground in a part")
        if report.empty:
            write_line(f"{report.empty} left out: no source shows ground there")
        print_replaced(intake)
        print_undated_and_contested(intake)
        print_pictures(intake)
        print_coverage(intake)

    def error(self) -> BaseException | None:
        """What the command ends with; None where all went in."""
        intake = self.report.intake
        if self.ended is not None:
            return self.ended
        left_out = self.plan.left_out()
        if intake.refusals or intake.contests or intake.undated or left_out:
            return _refusals_error(self.report, left_out)
        if (self.report.empty or self.report.partial) and not intake.done:
            return _nothing_came_error(self.report)
        return evictions_error(intake.evicted) if intake.evicted.count else None


def _kinds(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    return f" ({', '.join(f'{count} from a {kind}' for kind, count in sorted(counts.items()))})"


def _refusals_error(report: ProvisionReport, left_out: Mapping[str, int]) -> JobFailedError:
    """The error of a provision that refused tiles, or left out what lies in the place of tiles."""
    parts = []
    refusals = report.intake.refusals
    remedy = "look at what is left out"
    if len(refusals) == 1:
        parts.append(f"1 tile was refused: {refusals[0].file}: {refusals[0].message}")
        remedy = refusals[0].remedy or "mend the source"
    elif refusals:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(report.faults.items()))
        parts.append(f"{len(refusals)} tiles were refused{f' ({kinds})' if kinds else ''}")
        remedy = "mend what the refusals name"
    if report.intake.undated:
        parts.append(f"{report.intake.undated} have no capture date, such as {report.intake.first_undated}")
        remedy = remedy if refusals else "add their lines to the CSV, or give the STAC item of their ground,"
    if report.intake.contests:
        parts.append(f"{len(report.intake.contests)} lie where another dataset has tiles")
        if not refusals and not report.intake.undated:
            remedy = "leave the stored tiles with --keep, or take newer imagery with --replace,"
    if left_out:
        parts.append(f"{sum(left_out.values())} left out ({', '.join(left_out)})")
    others = others_in_words(report.intake)
    return JobFailedError("; ".join(parts), remedy=f"{remedy} and run again; {others}")


def changed_error(source: str) -> JobFailedError:
    """The error of a provision whose source was changed while it was read."""
    return JobFailedError(
        f"{source} was changed while it was read: what came in may be of its old and its new state",
        remedy="run again when it is complete: tiles that differ are refused by name, "
        "and aerotile delete removes what came in of them",
    )


def _nothing_came_error(report: ProvisionReport) -> JobFailedError:
    """The error of a provision whose sources had nothing at any place, or a part at some."""
    places = []
    if report.empty:
        places.append(
            f"no source shows ground at {'' if report.partial else 'any of '}{counted(report.empty, 'place')}"
        )
    if report.partial:
        places.append(f"{counted(report.partial, 'place shows', 'places show')} ground in a part alone")
    return JobFailedError(
        f"nothing came in: {', and '.join(places)}",
        remedy="take these with --partial" if report.partial else "check the source, the area and the zooms",
    )
