"""Go or no-go as JSON-ready facts, the same for the command line and for the map page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from ..domain.readiness.flight_plan import FlightPlan
from ..domain.readiness.judge_tiles import TileFault
from ..domain.readiness.report import FaultyTiles, LegReadiness, Readiness, ZoomReadiness


@attrs.frozen
class FilesRead:
    """What was read of the files of a flight."""

    lines: dict[str, int] = attrs.field(factory=dict)
    """How many lines each file holds; several are flown one after the other."""
    left_out: dict[str, int] = attrs.field(factory=dict)
    """By file and kind, what is no part of the flight."""


def fault_words(fault: TileFault) -> str:
    """A fault as answers name it, such as `not checked`."""
    return str(fault.name).lower().replace("_", " ")


def readiness_facts(
    plan: FlightPlan, readiness: Readiness, files: FilesRead, *, with_places: bool = True
) -> dict[str, Any]:
    """The answer as JSON shows it; without `with_places` faulty tiles are counted and not named."""
    return {
        "go": readiness.is_go,
        "take_off": plan.take_off.isoformat(),
        "pace": plan.pace,
        "length_m": round(plan.route.length_m),
        "corridor_m": plan.half_width_m,
        "zooms": list(plan.zooms),
        "tiles": readiness.tiles,
        "lines": files.lines,
        "left_out": files.left_out,
        "noes": [
            {"what": fault_words(lack.fault), "tiles": lack.tiles, "remedy": lack.remedy}
            for lack in readiness.lacks
        ],
        "conditions": [attrs.asdict(condition) for condition in readiness.conditions],
        "legs": [_leg_facts(leg, with_places) for leg in readiness.legs],
    }


def _leg_facts(leg: LegReadiness, with_places: bool) -> dict[str, Any]:
    planned = leg.planned
    return {
        "route": planned.route,
        "diversion": planned.is_diversion,
        "leg": planned.leg.number,
        "first_point": planned.leg.first_point,
        "last_point": planned.leg.last_point,
        "begins_at": planned.begins_at.isoformat(),
        "ends_at": planned.ends_at.isoformat(),
        "ready": leg.is_ready,
        "zooms": [_zoom_facts(zoom, with_places) for zoom in leg.zooms],
    }


def _zoom_facts(zoom: ZoomReadiness, with_places: bool) -> dict[str, Any]:
    counts = ("wanted", "present", "whole", "fresh", "described", "ready")
    return {
        "zoom": zoom.zoom_level,
        **{name: getattr(zoom, name) for name in counts},
        "faults": [
            {
                "what": fault_words(faulty.fault),
                "tiles": faulty.tiles,
                **({"places": list(rows_of(zoom.zoom_level, faulty))} if with_places else {}),
                "boxes": [[box.min_lon, box.min_lat, box.max_lon, box.max_lat] for box in faulty.boxes],
            }
            for faulty in zoom.faults
        ],
    }


def rows_of(zoom: int, faulty: FaultyTiles) -> Iterator[str]:
    """Neighbours of one row together, as `zoom/first x-last x/y`; a single tile as `zoom/x/y`."""
    rows = faulty.rows
    for y, first, last in zip(rows.y.tolist(), rows.min_x.tolist(), rows.max_x.tolist(), strict=True):
        yield f"{zoom}/{first}/{y}" if first == last else f"{zoom}/{first}-{last}/{y}"
