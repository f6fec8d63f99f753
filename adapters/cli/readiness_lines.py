"""Go or no-go: as facts for a program, and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from .coverage import degrees_of_box
from .output import write_line, write_table

if TYPE_CHECKING:
    from ...domain.readiness.flight_plan import FlightPlan, PlannedLeg
    from ...domain.readiness.judge_tiles import TileFault
    from ...domain.readiness.report import FaultyTiles, Readiness, ZoomReadiness

_LISTED_LEGS = 20


def no_go_line(readiness: Readiness) -> str:
    """Every reason for no-go in a few words."""
    noes = [f"{lack.tiles} tiles {_words(lack.fault)}" for lack in readiness.lacks]
    noes += [condition.name for condition in readiness.conditions if not condition.holds]
    return f"no-go: {', '.join(noes)}"


def _words(fault: TileFault) -> str:
    return str(fault.name).lower().replace("_", " ")


def _leg_name(planned: PlannedLeg) -> str:
    leg = planned.leg
    return f"{planned.route} leg {leg.number} (points {leg.first_point} to {leg.last_point})"


def readiness_facts(plan: FlightPlan, readiness: Readiness, left_out: Mapping[str, int]) -> dict[str, Any]:
    """The answer as JSON shows it."""
    return {
        "go": readiness.is_go,
        "take_off": plan.take_off.isoformat(),
        "pace": plan.pace,
        "length_m": round(plan.route.length_m),
        "corridor_m": plan.half_width_m,
        "zooms": list(plan.zooms),
        "tiles": readiness.tiles,
        "left_out": dict(left_out),
        "noes": [
            {"what": _words(lack.fault), "tiles": lack.tiles, "remedy": lack.remedy}
            for lack in readiness.lacks
        ],
        "conditions": [attrs.asdict(condition) for condition in readiness.conditions],
        "legs": [
            {
                "route": leg.planned.route,
                "leg": leg.planned.leg.number,
                "first_point": leg.planned.leg.first_point,
                "last_point": leg.planned.leg.last_point,
                "begins_at": leg.planned.begins_at.isoformat(),
                "ends_at": leg.planned.ends_at.isoformat(),
                "ready": leg.is_ready,
                "zooms": [_zoom_facts(zoom) for zoom in leg.zooms],
            }
            for leg in readiness.legs
        ],
    }


def _zoom_facts(zoom: ZoomReadiness) -> dict[str, Any]:
    counts = ("wanted", "present", "whole", "fresh", "described", "ready")
    return {
        "zoom": zoom.zoom_level,
        **{name: getattr(zoom, name) for name in counts},
        "faults": [
            {
                "what": _words(faulty.fault),
                "tiles": faulty.tiles,
                "first": ["/".join(map(str, place)) for place in faulty.listed],
                "boxes": [[box.min_lon, box.min_lat, box.max_lon, box.max_lat] for box in faulty.boxes],
            }
            for faulty in zoom.faults
        ],
    }


def print_readiness(plan: FlightPlan, readiness: Readiness, left_out: Mapping[str, int]) -> None:
    """The answer for a person: legs that are not ready, what else is needed, what mends it, go or no-go."""
    write_line(
        f"{plan.route.name}: {plan.route.length_m / 1000:.1f} km, {plan.half_width_m:g} m to each side, "
        f"take-off {plan.take_off.isoformat(timespec='seconds')}, {plan.pace}; {readiness.tiles} tiles"
    )
    for kind, count in left_out.items():
        write_line(
            f"left out: {count} x {kind}" if "one after the other" not in kind else f"{count} x {kind}"
        )
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
        more = len(unready) - len([leg for leg in shown if not leg.is_ready])
        write_line(f"and {hidden} more legs, {more} of them not ready; --json lists them all")
    for leg in shown:
        for zoom in leg.zooms:
            for faulty in zoom.faults:
                write_line(f"{_leg_name(leg.planned)}, zoom {zoom.zoom_level}: {_fault_line(faulty)}")
    write_table(
        ["also needed", "", "what"],
        [[one.name, "yes" if one.holds else "NO", one.detail] for one in readiness.conditions],
    )
    for line in _mending(readiness):
        write_line(line)
    write_line("GO" if readiness.is_go else "NO-GO")


def _fault_line(faulty: FaultyTiles) -> str:
    first = ", ".join("/".join(map(str, place)) for place in faulty.listed)
    more = ", ..." if faulty.tiles > len(faulty.listed) else ""
    boxes = " and ".join(map(degrees_of_box, faulty.boxes))
    return f"{faulty.tiles} {_words(faulty.fault)}: {first}{more}; within {boxes}"


def _mending(readiness: Readiness) -> Iterator[str]:
    for lack in readiness.lacks:
        yield f"no: {lack.tiles} tiles {_words(lack.fault)} — {lack.remedy}"
    for condition in readiness.conditions:
        if not condition.holds:
            yield f"no: {condition.name}: {condition.detail} — {condition.remedy}"
