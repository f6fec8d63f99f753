"""Go or no-go as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from ...domain.values.counted import counted
from ..readiness_facts import FilesRead, fault_words, rows_of
from .coverage import degrees_of_box
from .output import write_line, write_table

if TYPE_CHECKING:
    from ...domain.readiness.flight_plan import FlightPlan, PlannedLeg
    from ...domain.readiness.report import LegReadiness, Readiness

_LISTED_LEGS = 20
_LISTED_FAULTS = 40
_LISTED_ROWS = 4


def no_go_line(readiness: Readiness) -> str:
    """Every reason for no-go in a few words."""
    noes = [f"{counted(lack.tiles, 'tile')} {fault_words(lack.fault)}" for lack in readiness.lacks]
    noes += [condition.name for condition in readiness.conditions if not condition.holds]
    return f"no-go: {', '.join(noes)}"


def _leg_name(planned: PlannedLeg) -> str:
    leg = planned.leg
    return f"{planned.route} leg {leg.number} (points {leg.first_point} to {leg.last_point})"


def print_readiness(plan: FlightPlan, readiness: Readiness, files: FilesRead) -> None:
    """The answer for a person: legs that are not ready, what else is needed, what mends it, go or no-go."""
    write_line(
        f"{plan.route.name}: {plan.route.length_m / 1000:.1f} km, {plan.half_width_m:g} m to each side, "
        f"take-off {plan.take_off.isoformat(timespec='seconds')}, {plan.pace}; "
        f"{counted(readiness.tiles, 'tile')}"
    )
    for name, lines in files.lines.items():
        if lines > 1:
            write_line(f"{name}: {lines} lines, flown one after the other")
    for kind, count in files.left_out.items():
        write_line(f"left out: {count} x {kind}")
    unready = [leg for leg in readiness.legs if not leg.is_ready]
    shown = (unready or list(readiness.legs))[:_LISTED_LEGS]
    write_table(
        ["leg", "until", "zoom", "wanted", "present", "whole", "fresh", "described", "ready"],
        [
            [
                _leg_name(leg.planned),
                leg.planned.ends_at.isoformat(timespec="minutes"),
                zoom.zoom_level,
                zoom.wanted,
                zoom.present,
                zoom.whole,
                zoom.fresh,
                zoom.described,
                zoom.ready,
            ]
            for leg in shown
            for zoom in leg.zooms
        ],
    )
    if hidden := len(readiness.legs) - len(shown):
        more = max(len(unready) - len(shown), 0)
        write_line(f"and {hidden} more legs, {more} of them not ready; --json lists them all")
    _print_faults(unready)
    write_table(
        ["also needed", "", "what"],
        [[one.name, "yes" if one.holds else "NO", one.detail] for one in readiness.conditions],
    )
    for line in _mending(readiness):
        write_line(line)
    write_line("GO" if readiness.is_go else "NO-GO")


def _print_faults(legs: list[LegReadiness]) -> None:
    faults = [(leg, zoom, faulty) for leg in legs for zoom in leg.zooms for faulty in zoom.faults]
    for leg, zoom, faulty in faults[:_LISTED_FAULTS]:
        places = ", ".join(islice(rows_of(zoom.zoom_level, faulty), _LISTED_ROWS))
        more = len(faulty.rows) - _LISTED_ROWS
        boxes = " and ".join(map(degrees_of_box, faulty.boxes))
        write_line(
            f"{_leg_name(leg.planned)}: {faulty.tiles} {fault_words(faulty.fault)}: {places}"
            f"{f' and {more} more rows' if more > 0 else ''}; within {boxes}"
        )
    if hidden := faults[_LISTED_FAULTS:]:
        tiles = sum(faulty.tiles for _, _, faulty in hidden)
        write_line(f"and {len(hidden)} more such lines, of {counted(tiles, 'tile')}; --json lists them all")


def _mending(readiness: Readiness) -> Iterator[str]:
    for lack in readiness.lacks:
        yield f"no: {counted(lack.tiles, 'tile')} {fault_words(lack.fault)} — {lack.remedy}"
    for condition in readiness.conditions:
        if not condition.holds:
            yield f"no: {condition.name}: {condition.detail} — {condition.remedy}"
