"""A flight on a time line: what its record says of places and tiles, and when the database was gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ...domain.errors import CommitOutcomeUnknownError, StoreUnavailableError
from ...domain.flight_events import EventKind, RecordEnvelope, WriteStep
from ...domain.values.lookups import Lookup, area_facts, area_of
from ...domain.values.tile_grid import Bbox
from ...domain.values.tiles import TileId, parse_tile_id
from .answers import RefusedError, json_response
from .parameters import named, time_of
from .supply import MapSupply

MOST_EVENTS = 5_000
_MOST_TILES = 1_000
"""Tiles of one event that are drawn; an event of more says so."""
_MOST_HITS = 20
_LONGEST_TEXT = 300
_ROLES = {
    EventKind.WRITE.value: "stored",
    EventKind.WRITE_FAILED.value: "refused",
    EventKind.FRESHNESS_REJECTED.value: "stale",
    EventKind.FRESHNESS_DOWNGRADED.value: "stale",
    EventKind.EVICTION_BATCH.value: "evicted",
    EventKind.LOOKUP.value: "candidate",
    EventKind.LOOKUP_UNKNOWN.value: "candidate",
    EventKind.FIX.value: "used",
    EventKind.BASE_TILE_DAMAGED.value: "damaged",
    EventKind.QUARANTINED.value: "damaged",
}
"""How the tiles of an event are drawn; those of other kinds are `other`."""
# Not sets: what a payload has in the place of a text may have no hash.
_OF_THE_DATABASE = (WriteStep.INSERT.value, WriteStep.COMMIT.value, WriteStep.DISK_BUDGET.value)
_GONE = (StoreUnavailableError.__name__, CommitOutcomeUnknownError.__name__)


def flight(supply: MapSupply, request: Request) -> Response:
    """The newest events between two times, oldest first, with the tiles and positions that they name."""
    given = named(request, "since", "until")
    since, until = time_of(given, "since"), time_of(given, "until")
    if since is not None and until is not None and since > until:
        raise RefusedError(400, "since is later than until")
    found = supply.record(since, until, MOST_EVENTS)
    return json_response(
        {
            "events": [event_facts(event) for event in found.events],
            "is_complete": found.is_complete,
            "most_events": MOST_EVENTS,
            "damaged_lines": found.damaged_lines,
            "database_gone": list(times_without_database(found.events)),
        }
    )


def event_facts(event: RecordEnvelope) -> dict[str, Any]:
    """One event, and what of it can be drawn."""
    tiles = list(dict.fromkeys(_tiles_in(event.payload)))
    return {
        "time": event.wall_time.isoformat(),
        "kind": event.kind,
        "severity": event.severity,
        "reason": event.reason,
        "role": _ROLES.get(event.kind, "other"),
        "tiles": [[tile.zoom_level, tile.x, tile.y] for tile in tiles[:_MOST_TILES]],
        "tiles_left_out": max(0, len(tiles) - _MOST_TILES),
        "position": _position_in(event.payload),
        "prior": _prior_in(event.payload),
        **_hits_in(event),
        "payload": {name: _shortened(value) for name, value in event.payload.items()},
    }


def times_without_database(events: Iterable[RecordEnvelope]) -> Iterator[dict[str, str | None]]:
    """From the first write that the database refused to the next one that it committed; None: to the end."""
    since: str | None = None
    for event in events:
        if event.kind == EventKind.WRITE.value and since is not None:
            yield {"since": since, "until": event.wall_time.isoformat()}
            since = None
        elif since is None and _lost_the_database(event):
            since = event.wall_time.isoformat()
    if since is not None:
        yield {"since": since, "until": None}


def _lost_the_database(event: RecordEnvelope) -> bool:
    payload = event.payload
    return (
        event.kind == EventKind.WRITE_FAILED.value
        and payload.get("step") in _OF_THE_DATABASE
        and payload.get("error") in _GONE
    )


def _tiles_in(value: Any) -> Iterator[TileId]:
    """Every tile that is named anywhere in a payload, which may be newer than this code."""
    if isinstance(value, str):
        try:
            yield parse_tile_id(value)
        except ValueError:
            return
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tiles_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tiles_in(inner)


def _position_in(payload: Mapping[str, Any]) -> list[float] | None:
    """The position that an event names as `lat` and `lon`."""
    try:
        place = Bbox.of_place(payload["lat"], payload["lon"])
    except (KeyError, ValueError):
        return None
    return [place.min_lat, place.min_lon]


def _hits_in(event: RecordEnvelope) -> dict[str, Any]:
    """The hits of a lookup, nearest first: tile, distance, and the digest of its content or None."""
    hits: list[Any] = []
    if event.kind == EventKind.LOOKUP.value:
        with suppress(ValueError):  # of a schema that this code does not know
            Lookup.from_payload(event.payload)
            hits = event.payload["hits"]
    return {"hits": hits[:_MOST_HITS], "hits_left_out": max(0, len(hits) - _MOST_HITS)}


def _prior_in(payload: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The shapes of the area that a lookup was asked within."""
    try:
        shapes: list[dict[str, Any]] = area_facts(area_of(payload["near"]))["shapes"]
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ):  # none, or of a schema that this code does not know
        return None
    return shapes


def _shortened(value: Any) -> Any:
    """A value of a payload as a person reads it; long texts and lists are cut."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]}..."
    if isinstance(value, (list, tuple, Mapping)) and len(repr(value)) > _LONGEST_TEXT:
        return f"{len(value)} entries"
    return value
