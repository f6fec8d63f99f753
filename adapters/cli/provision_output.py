"""What a provision would take, and how it ended: as JSON, and as lines for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...domain.values.counted import counted
from .errors import JobFailedError, one_line
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
from .output import in_words, write_json, write_line, write_table

if TYPE_CHECKING:
    from ...domain.intake.mosaic import Mosaic, ZoomEstimate
    from ...domain.intake.provision import ProvisionReport
    from ...domain.ports.imagery_source import ImageryFacts


def _source_facts(mosaic: Mosaic) -> list[dict[str, Any]]:
    """Name, format, zooms and what is left out of each source, in their order."""
    return [
        {
            "name": source.name,
            "kind": source.facts.kind,
            "zooms": list(source.zooms()),
            "attribution": source.facts.attribution,
            "licence": source.facts.licence,
            "captured_at": _date_of(source.facts),
            "captured_at_from": source.facts.captured_at_from,
            "captured_at_is_the_files": source.facts.captured_at_is_the_files,
            "left_out": dict(sorted(source.facts.left_out.items())),
        }
        for source in mosaic.sources
    ]


def write_dates(mosaic: Mosaic) -> None:
    """A line for each source that says when it was captured."""
    for source in mosaic.sources:
        if (date := _date_of(source.facts)) is not None:
            found = source.facts.captured_at_from
            doubt = " (often when the file was made)" if source.facts.captured_at_is_the_files else ""
            where = f", in {found}" if found else ""
            write_line(f"{source.name} says that it was captured at {date}{where}{doubt}")


def _date_of(facts: ImageryFacts) -> str | None:
    return None if facts.captured_at is None else facts.captured_at.isoformat()


def left_out_of(mosaic: Mosaic) -> dict[str, int]:
    """What lies in the sources and is no tile, by source and kind."""
    return {
        f"{source.name}: {kind}": count
        for source in mosaic.sources
        for kind, count in sorted(source.facts.left_out.items())
    }


def _estimate_facts(estimates: Sequence[ZoomEstimate]) -> list[dict[str, Any]]:
    """The estimate of each zoom."""
    return [
        {
            "zoom": one.zoom_level,
            "wanted": one.wanted,
            "found": one.found,
            "present": one.present,
            "new": one.found - one.present,
            "bytes": one.disk_bytes,
            "footprint_bytes": one.footprint_bytes,
            "seconds": round(one.seconds, 1),
        }
        for one in estimates
    ]


def _write_estimate(estimates: Sequence[ZoomEstimate]) -> None:
    """A table with a row for each zoom, and their sum."""
    rows: list[tuple[Any, ...]] = [
        (str(one.zoom_level), one.wanted, one.found, one.present, in_words(one.disk_bytes))
        for one in estimates
    ]
    wanted = None if estimates[0].wanted is None else sum(one.wanted or 0 for one in estimates)
    rows.append(
        (
            "all",
            wanted,
            sum(one.found for one in estimates),
            sum(one.present for one in estimates),
            in_words(sum(one.disk_bytes for one in estimates)),
        )
    )
    write_table(("zoom", "places of the area", "in the sources", "in the store", "to come, about"), rows)
    write_line(
        f"on the disk about {in_words(sum(one.footprint_bytes for one in estimates))}; "
        f"reading takes about {sum(one.seconds for one in estimates):.0f} s"
    )


def write_not_in_sources(estimates: Sequence[ZoomEstimate]) -> None:
    """How many places of the area no source lists; nothing where there are none, or no area."""
    wanted = sum(one.wanted or 0 for one in estimates)
    missing = sum(one.wanted - one.found for one in estimates if one.wanted is not None)
    if missing:
        write_line(f"{missing} of {wanted} places of the area are in no source")


def write_left_out(left_out: Mapping[str, int]) -> None:
    """A line for each kind of what is no tile."""
    for kind, count in left_out.items():
        write_line(f"left out: {count} x {kind}")


def plan_facts(
    mosaic: Mosaic, estimates: list[ZoomEstimate], outside_area: Mapping[str, int]
) -> dict[str, Any]:
    """What a provision would take, as JSON shows it."""
    return {
        "sources": _source_facts(mosaic),
        "left_out_of_area": dict(outside_area),
        "estimate": _estimate_facts(estimates),
    }


def show_estimate(
    mosaic: Mosaic,
    estimates: list[ZoomEstimate],
    outside_area: Mapping[str, int],
    *,
    replaces: bool = False,
    as_json: bool,
) -> None:
    """Print what a provision would take; `replaces`: also of stored tiles that have newer imagery here."""
    replaced_at_most = sum(one.present for one in estimates) if replaces else 0
    if as_json:
        write_json(plan_facts(mosaic, estimates, outside_area) | {"replaced_at_most": replaced_at_most})
        return
    write_dates(mosaic)
    write_left_out(left_out_of(mosaic))
    _write_estimate(estimates)
    if replaced_at_most:
        write_line(
            f"of those in the store up to {replaced_at_most} are replaced, by newer imagery; "
            "what that takes is not in these figures"
        )


def provision_facts(
    report: ProvisionReport,
    seconds: float,
    ended: BaseException | None,
    *,
    dates_from: str | None,
) -> dict[str, Any]:
    """How the provision ended, and what `ended` it before its last place.

    `dates_from`: where the options took the capture dates from.
    """
    intake = report.intake
    return {
        "stored": intake.stored,
        "replaced": intake.replaced,
        "downgraded": intake.downgraded,
        "present": intake.present,
        "not_compared": report.not_compared,
        "unchanged": report.unchanged,
        "refused": intake.refused,
        "undated": intake.undated,
        "dates_from": dates_from or report.dates_from,
        "contested": len(intake.contests),
        "kept": intake.kept,
        "verbatim": report.verbatim,
        "encoded": dict(sorted(report.encoded.items())),
        "partial": report.partial,
        "partial_taken": report.partial_taken,
        "empty": report.empty,
        "faults": dict(sorted(report.faults.items())),
        "stored_bytes": intake.stored_bytes,
        "blank": intake.blank,
        "repeated": intake.repeats.total,
        **ending_facts(
            intake,
            seconds,
            None if ended is None else one_line(str(ended) or "interrupted"),
            intake.refusals,
        ),
    }


def write_provision(report: ProvisionReport, seconds: float, *, dates_from: str | None) -> None:
    """How the provision ended, for a person; see `provision_facts`."""
    intake = report.intake
    print_evictions(intake.evicted)
    not_read = f" ({report.not_compared} of them not read again)" if report.not_compared else ""
    not_read += f" ({report.unchanged} of them unchanged on their server)" if report.unchanged else ""
    write_line(
        f"{stored_in_words(intake)}, {intake.present} already present{not_read}, {intake.refused} refused; "
        f"{pace_in_words(intake, seconds)}"
    )
    write_line(
        f"read: {report.verbatim} verbatim, {report.encoded.total()} encoded anew{_kinds(report.encoded)}"
    )
    write_line(f"capture dates: {dates_from or report.dates_from}")
    if report.partial:
        write_line(f"{report.partial} left out: a part of them shows no ground; --partial takes them, too")
    if report.partial_taken:
        write_line(f"{report.partial_taken} of them show no ground in a part")
    if report.empty:
        write_line(f"{report.empty} left out: no source shows ground there")
    print_replaced(intake)
    print_undated_and_contested(intake)
    print_pictures(intake)
    print_coverage(intake)


def _kinds(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    return f" ({', '.join(f'{count} from a {kind}' for kind, count in sorted(counts.items()))})"


def refusals_error(report: ProvisionReport, left_out: Mapping[str, int]) -> JobFailedError:
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


def nothing_came_error(report: ProvisionReport) -> JobFailedError:
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
