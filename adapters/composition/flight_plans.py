"""The flight that route files and a few numbers describe: one rule for the command line and the map page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePath

import attrs

from ...domain.readiness.flight_plan import FlightPlan, wanted_spans
from ...domain.values.counted import counted
from ..input_files.area_files import NamedRoute
from ..readiness_facts import FilesRead


def plan_flight(
    files: Sequence[tuple[str, NamedRoute]],
    *,
    half_width_m: float,
    zooms: Sequence[int],
    take_off: datetime | None,
    speed_m_s: float | None,
    now: datetime,
    most_tiles: int | None = None,
) -> tuple[FlightPlan, FilesRead]:
    """The flight along the first file, with the others as diversions, and what of them is no part of it.

    Each file comes with its name. Without `take_off` the first time of the route counts, if that is still to
    come, or else `now`. Raises `ValueError`, also for more tiles than `most_tiles`.
    """
    route, *diversions = (attrs.evolve(read.route, name=PurePath(name).stem) for name, read in files)
    if take_off is None:
        take_off = route.times[0] if route.times and route.times[0] > now else now
    plan = FlightPlan(route, half_width_m, zooms, take_off, tuple(diversions), speed_m_s)
    tiles = sum(spans.tiles for spans in wanted_spans(plan))
    if most_tiles is not None and tiles > most_tiles:
        raise ValueError(
            f"the corridor needs {counted(tiles, 'tile')}, {most_tiles} are the most here; ask for "
            f"fewer zooms or a "
            "narrower corridor, or call aerotile ready"
        )
    lines = {name: read.lines for name, read in files}
    left_out = {f"{name}: {kind}": count for name, read in files for kind, count in read.left_out.items()}
    return plan, FilesRead(lines, left_out)
