"""`aerotile explain`."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from ....domain.errors import CaptureTimeInFutureError
from ....domain.store.recall_guard import RecallGuard
from ....domain.values.tile_grid import MAX_LATITUDE
from ....domain.values.tiles import TileId, TileSource
from ....domain.values.timestamps import microseconds_of
from ...verdict_facts import verdict_facts
from ..arguments import decimal, moment, zoom
from ..command import command
from ..errors import as_bad_input
from ..output import json_option, write_facts, write_json
from ..session import Session


@command(
    "aerotile explain 48.1374 11.5755 2024-05-01 --zoom 17",
    "aerotile explain -33.8568 151.2153 2024-05-01T10:30:00Z --zoom 12 --json",
    "aerotile explain 48.1374 11.5755 2024-05-01 --zoom 17 --base",
    # Southern latitudes and western longitudes begin with a minus, as options do.
    context_settings={"ignore_unknown_options": True},
)
@click.argument("lat", type=decimal)
@click.argument("lon", type=decimal)
@click.argument("captured_at", type=moment)
@click.option("--zoom", "zoom_level", type=zoom, required=True, help="Zoom level of the tile.")
@click.option("--base", "by_base", is_flag=True, help="Judge by the sealed base alone; opens no database.")
@json_option
@click.pass_obj
def explain(
    session: Session,
    lat: float,
    lon: float,
    captured_at: datetime,
    zoom_level: int,
    by_base: bool,
    as_json: bool,
) -> None:
    """Show what a write of the tile at a position would meet at the freshness gate. No tile is touched.

    LAT and LON are in degrees; CAPTURED_AT is a date, or a date and time with an offset. The whole box of the
    tile is judged: a sector counts that lies over any part of it, and the default classification where no
    sector does. Where there is no store, the sealed base in use judges. A recall list that names the place or
    the time rejects the tile at any age.
    """
    for name, value, limit in (("LAT", lat, MAX_LATITUDE), ("LON", lon, 180)):
        if abs(value) > limit:
            raise click.BadParameter(
                f"must be within -{limit}..{limit} degrees, got {value}", param_hint=name
            )
    tile_id = TileId.covering(lat, lon, zoom_level, TileSource.SATELLITE_PROVIDER)
    with session.existing_runtime("base") as runtime:
        by_base = by_base or not session.config.has_store
        gate = runtime.base_gate if by_base else runtime.freshness_gate
        with as_bad_input(CaptureTimeInFutureError):
            verdict = gate.explain(tile_id, captured_at)
        recalls = RecallGuard(runtime.recall_lists, lambda event: None)
        verdict = recalls.judged(verdict, tile_id, microseconds_of(captured_at), None)
    facts = {
        "lat": lat,
        "lon": lon,
        "captured_at": captured_at.isoformat(),
        "tile": f"{tile_id.zoom_level}/{tile_id.x}/{tile_id.y}",
        **verdict_facts(verdict),
    }
    if as_json:
        write_json(facts)
        return
    write_facts(
        {
            "tile": facts["tile"],
            "decision": facts["decision"],
            "sector": facts["sector"] or "none (the default classification, for ground in no sector)",
            "rule": f"{facts['classification']} allows {_days(verdict.rule.max_age)}",
            "age": _days(verdict.age),
            **({} if verdict.recalled is None else {"recalled by": verdict.recalled}),
            **({} if verdict.clock_fault is None else {"not trusted": verdict.clock_fault}),
        }
    )


def _days(duration: timedelta) -> str:
    return f"{duration / timedelta(days=1):.1f} days"
