"""`aerotile ready`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from ..arguments import EXISTING_FILE, byte_size, corridor, moment, speed, zooms
from ..command import command
from ..coverage import check_map_file, drawing_option
from ..errors import BadInputError, JobFailedError
from ..option_groups import gather
from ..output import json_option, write_json
from ..session import Session

if TYPE_CHECKING:
    from ....domain.readiness.flight_plan import FlightPlan
    from ...readiness_facts import FilesRead


@attrs.frozen
class _FlightOptions:
    """The flight that a person names."""

    route_file: Path
    diversion_files: tuple[Path, ...]
    half_width_m: float
    zoom_levels: tuple[int, ...]
    take_off: datetime | None
    speed_m_s: float | None

    def read(self, now: datetime) -> tuple[FlightPlan, FilesRead]:
        """The flight, and what of its files is no part of it. Raises `InputFileError`, `BadInputError`."""
        from ...composition.flight_plans import plan_flight
        from ...input_files.area_files import read_route

        files = [(path.name, read_route(path)) for path in (self.route_file, *self.diversion_files)]
        try:
            return plan_flight(
                files,
                half_width_m=self.half_width_m,
                zooms=self.zoom_levels,
                take_off=self.take_off,
                speed_m_s=self.speed_m_s,
                now=now,
            )
        except ValueError as error:
            raise BadInputError(
                f"{self.route_file}: {error}", remedy="correct --at, --speed, --zoom or the route"
            ) from error


@command(
    "aerotile ready --route route.gpx --corridor 5km --zoom 15-17 --at 2026-06-01T08:00:00Z",
    "aerotile ready --route plan.plan --corridor 3nm --zoom 16 --speed 25m/s \\",
    "    --diversion field.kml --map go.png",
    more="""\

\b
Exit codes: 0 go; 1 no-go, or it could not be told; 2 wrong call.
""",
)
@click.option("--route", "route_file", required=True, type=EXISTING_FILE, help="The route: a line in a file.")
@click.option(
    "--corridor",
    "half_width_m",
    required=True,
    metavar="DISTANCE",
    type=corridor,
    help="How far to each side tiles are needed: 5km, 3nm, 500m.",
)
@click.option(
    "--zoom", "zoom_levels", required=True, metavar="ZOOMS", type=zooms, help="Which zooms: 15-17, or 14,16."
)
@click.option(
    "--at",
    "take_off",
    metavar="TIME",
    type=moment,
    help="The take-off; default the first time of the route, if that is still to come, or else now.",
)
@click.option(
    "--speed",
    "speed_m_s",
    metavar="SPEED",
    type=speed,
    help="Over ground: 25m/s, 90km/h, 50kt; default the times or the speed of the route, or else 10m/s.",
)
@click.option(
    "--diversion",
    "diversion_files",
    multiple=True,
    type=EXISTING_FILE,
    help="A route that may be flown instead; may be given again.",
)
@click.option(
    "--makes",
    "makes_bytes",
    metavar="SIZE",
    callback=byte_size,
    help='Disk that tiles made on board will take, as "2 GiB"; default a tile at each place below the route.',
)
@click.option("--base", "base_alone", is_flag=True, help="Look at the sealed base alone, without a database.")
@drawing_option("what is wrong and where")
@json_option
@click.pass_obj
@gather("flight", _FlightOptions)
def ready(
    session: Session,
    flight: _FlightOptions,
    makes_bytes: int | None,
    base_alone: bool,
    map_file: Path | None,
    as_json: bool,
) -> None:
    """Say go or no-go for a flight: whether all that a route needs is there, whole, fresh and described.

    The route is a line in GeoJSON, KML, KMZ, GPX, a plan of QGroundControl or a waypoint file. Every no names
    what is missing and the command that mends it. No tile is read: `aerotile verify` and
    `aerotile base verify` note what they found. A tile must be fresh when the aircraft leaves its leg; a
    diversion counts as begun at the end of the route.
    """
    from ...readiness_facts import readiness_facts
    from ..readiness_lines import no_go_line, print_readiness

    check_map_file(map_file, session.config)
    with session.existing_runtime("base") as runtime:
        plan, files = flight.read(runtime.clock.now())
        readiness = runtime.check_readiness(plan, base_alone=base_alone, makes_bytes=makes_bytes)
    if as_json:
        write_json(readiness_facts(plan, readiness, files))
    else:
        print_readiness(plan, readiness, files)
    if map_file is not None:
        from ..readiness_map import write_readiness_map

        write_readiness_map(map_file, readiness)
    if not readiness.is_go:
        raise JobFailedError(no_go_line(readiness), remedy="each reason names the command that mends it")
