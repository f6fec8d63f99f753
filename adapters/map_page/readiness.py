"""Go or no-go along a route: the judgement of `aerotile ready`, with what a map needs to draw it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from ...domain.readiness.flight_plan import PlannedLeg
from ...domain.readiness.judge_tiles import TileFault, fault_ranks
from ...domain.readiness.report import Readiness
from ...domain.values.corridors import discs_along
from ..readiness_facts import fault_words, readiness_facts
from ..strict_json import parse_json
from .answers import RefusedError, json_response
from .parameters import named, time_of
from .supply import AskedFlight, MapSupply

MOST_ROUTE_BYTES = 8 << 20
MOST_ROWS = 4_096
"""Rows of cells in an answer for each zoom, however many tiles a flight needs."""
_LINE_POINTS = 64
"""Points of a leg that is drawn along its great circle."""
_LONGEST_NAME = 80
_COLUMN = (1 << 32) - 1
KINDS = ("ready", *(fault_words(fault) for fault in sorted(TileFault)))
"""What a cell is, by the rank of its worst tile."""


def readiness(supply: MapSupply, request: Request, content: bytes) -> Response:
    """Go or no-go for the files in the body, with the line of each leg and the cells of each zoom."""
    given = named(request, "name", "diversions", "corridor", "zooms", "at", "speed")
    for name in ("corridor", "zooms"):
        if not given.get(name):
            raise RefusedError(400, f"{name} is missing; a route is judged with corridor=5km and zooms=15-17")
    asked = AskedFlight(
        files=tuple(_files(given, content)),
        corridor=given["corridor"],
        zooms=given["zooms"],
        take_off=time_of(given, "at"),
        speed=given.get("speed") or None,
    )
    try:
        planned = supply.plan(asked)
    except ValueError as error:
        raise RefusedError(400, str(error)) from None
    found = supply.check_readiness(planned.plan)
    facts = readiness_facts(planned.plan, found, planned.files, with_places=False)
    for leg, report in zip(facts["legs"], found.legs, strict=True):
        leg["lines"] = list(lines_of(report.planned))
    facts["kinds"] = KINDS
    facts["cells"] = [cells_of_zoom(found, zoom, MOST_ROWS) for zoom in planned.plan.zooms]
    return json_response(facts)


def _files(given: dict[str, str], content: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in the body: the route, then the diversions, whose bytes are told."""
    told = _diversions(given.get("diversions", "[]"))
    begin = len(content) - sum(size for _, size in told)
    if begin < 0:
        raise RefusedError(400, "the diversions take more bytes than the body has")
    yield given.get("name", "route")[:_LONGEST_NAME] or "route", content[:begin]
    for name, size in told:
        yield name[:_LONGEST_NAME], content[begin : begin + size]
        begin += size


def _diversions(text: str) -> list[tuple[str, int]]:
    """Name and bytes of each diversion in the body."""
    try:
        told = [(name, size) for name, size in parse_json(text)]
        if all(type(name) is str and name and type(size) is int and size >= 0 for name, size in told):
            return told
    except (ValueError, TypeError, RecursionError):
        pass
    raise RefusedError(400, 'diversions must be a list of names and bytes such as [["field.kml",1234]]')


def lines_of(planned: PlannedLeg) -> Iterator[list[list[float]]]:
    """The way of a leg as latitudes and longitudes; a line ends at the antimeridian, where another begins."""
    discs = discs_along(planned.leg.points, 0.0)
    some = np.unique(np.linspace(0, len(discs) - 1, min(len(discs), _LINE_POINTS + 1)).round().astype(int))
    places = np.degrees(np.stack([discs.lat[some], discs.lon[some]], axis=1)).round(6).tolist()
    line = places[:1]
    for first, second in pairwise(places):
        if abs(first[1] - second[1]) > 180.0:
            yield line
            line = []
        line.append(second)
    yield line


def cells_of_zoom(found: Readiness, zoom: int, most: int) -> dict[str, Any]:
    """The tiles of a zoom by their worst fault, neighbours of a row together, in at most `most` rows.

    Where there are more, cells of a smaller zoom take the place of tiles, as bad as the worst tile in them.
    """
    of_zoom = found.wanted.zoom == zoom
    x, y, faults = found.wanted.x[of_zoom], found.wanted.y[of_zoom], found.faults[of_zoom]
    for cell_zoom in range(zoom, -1, -1):
        cells, place = np.unique(y >> (zoom - cell_zoom) << 32 | x >> (zoom - cell_zoom), return_inverse=True)
        ranks = np.zeros(len(cells), np.int64)
        np.maximum.at(ranks, place, fault_ranks(faults))
        ends = np.flatnonzero((np.diff(cells) != 1) | (np.diff(ranks) != 0))
        first, last = np.append(0, ends + 1), np.append(ends, len(cells) - 1)
        if len(first) <= most:
            break
    columns = (cells[first] >> 32, cells[first] & _COLUMN, cells[last] & _COLUMN, ranks[first])
    return {"zoom": zoom, "cell_zoom": cell_zoom, "rows": np.stack(columns, axis=1).tolist()}
