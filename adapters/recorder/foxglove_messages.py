"""Events and sectors as messages that Foxglove's map and log panels show: LocationFix, GeoJSON and Log.

Field names, types and numbers are those of Foxglove's published schemas; times are `sec` and `nsec`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import attrs

from ...domain.flight_events import EventKind, RecordEnvelope, Severity
from ...domain.values.lookups import PositionFix
from ...domain.values.sectors import SectorBoundary, SectorClassification
from ...domain.values.tiles import TileId, parse_tile_id
from ...domain.values.timestamps import read_time
from ..geojson_shapes import geometry_of

FIX_TOPIC, USED_TILE_TOPIC, SECTORS_TOPIC, LOG_TOPIC = "/fix", "/used_tile", "/sectors", "/log"
CAMERA_FRAME = "camera"
"""The frame in whose origin a fix lies: the flight stack took the picture there."""
UNKNOWN_ALTITUDE_VARIANCE = 1e8
"""In square metres: a fix says nothing of the altitude."""
_APPROXIMATED = 1
"""Foxglove's number of a covariance that is an estimate."""
_LEVELS = {Severity.INFO.value: 2, Severity.WARNING.value: 3, Severity.ERROR.value: 4}
_UNKNOWN_LEVEL = 0
_QUIET = {EventKind.LOOKUP.value, EventKind.FIX.value}
"""Ten a second: they have channels of their own, and would hide the others in the log."""
_USED_STYLE = {"style": {"color": "#00a651", "weight": 2, "fillOpacity": 0.15}}
_SECTOR_COLOURS = {
    SectorClassification.ACTIVE_CONFLICT: "#d62728",
    SectorClassification.STABLE_REAR: "#1f77b4",
}
_LARGEST_ERROR_M = 1e150
"""Its square is still a number."""
_LATEST_NS = (1 << 64) - 1
"""The greatest time of MCAP, in the year 2554."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def _object(title: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


_TEXT, _NUMBER, _WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
_TIME = _object("time", sec=_WHOLE, nsec={**_WHOLE, "maximum": 999_999_999})
SCHEMAS: Mapping[str, dict[str, Any]] = {
    "foxglove.LocationFix": _object(
        "foxglove.LocationFix",
        timestamp=_TIME,
        frame_id=_TEXT,
        latitude=_NUMBER,
        longitude=_NUMBER,
        altitude=_NUMBER,
        position_covariance={"type": "array", "items": _NUMBER, "minItems": 9, "maxItems": 9},
        position_covariance_type={"type": "integer", "enum": [0, 1, 2, 3]},
    ),
    "foxglove.GeoJSON": _object("foxglove.GeoJSON", geojson=_TEXT),
    "foxglove.Log": _object(
        "foxglove.Log",
        timestamp=_TIME,
        level={"type": "integer", "enum": [0, 1, 2, 3, 4, 5]},
        message=_TEXT,
        name=_TEXT,
        file=_TEXT,
        line=_WHOLE,
    ),
}
"""The members that we write, all of them required; each is one of the published schema."""


@attrs.frozen
class FoxgloveMessage:
    """One message, for a topic with one of the `SCHEMAS`."""

    topic: str
    schema: str
    content: dict[str, Any]

    def to_json(self) -> bytes:
        """The message as it lies in the file."""
        return json.dumps(self.content, separators=(",", ":"), allow_nan=False).encode("ascii")


def nanoseconds(time: datetime) -> int:
    """Since 1970, within the times that MCAP has: a clock that was never set may show any other."""
    return min(max(0, (time - _EPOCH) // _MICROSECOND * 1000), _LATEST_NS)


def messages_of(event: RecordEnvelope) -> Iterator[FoxgloveMessage]:
    """What a person sees of one event: a position and the tile that gave it, or a line of the log."""
    if event.kind == EventKind.FIX.value:
        try:
            fix = _fix_of(event.payload)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            yield _line_of(event)  # the log names what the map can't show
        else:
            yield _position_of(fix)
            yield FoxgloveMessage(USED_TILE_TOPIC, "foxglove.GeoJSON", _geojson([_used_tile(fix.tile_id)]))
    elif event.kind not in _QUIET:
        yield _line_of(event)


def sectors_message(sectors: Iterable[SectorBoundary]) -> FoxgloveMessage:
    """All sectors, coloured by their classification."""
    features = [
        {
            "type": "Feature",
            "geometry": geometry_of(sector.shape),
            "properties": {
                "name": f"{sector.sector_id} ({sector.classification.value})",
                "style": {"color": _SECTOR_COLOURS[sector.classification], "fillOpacity": 0.1},
            },
        }
        for sector in sectors
    ]
    return FoxgloveMessage(SECTORS_TOPIC, "foxglove.GeoJSON", _geojson(features))


def _fix_of(payload: Mapping[str, Any]) -> PositionFix:
    return PositionFix(
        tile_id=parse_tile_id(payload["tile"]),
        lat=payload["lat"],
        lon=payload["lon"],
        fixed_at=read_time(payload["fixed_at"]),
        error_m=payload["error_m"],
        lookup=payload["lookup"],
    )


def _position_of(fix: PositionFix) -> FoxgloveMessage:
    variance = min(fix.error_m, _LARGEST_ERROR_M) ** 2
    return FoxgloveMessage(
        FIX_TOPIC,
        "foxglove.LocationFix",
        {
            "timestamp": _time(fix.fixed_at),
            "frame_id": CAMERA_FRAME,
            "latitude": fix.lat,
            "longitude": fix.lon,
            "altitude": 0.0,
            # East, north, up, row by row.
            "position_covariance": [variance, 0, 0, 0, variance, 0, 0, 0, UNKNOWN_ALTITUDE_VARIANCE],
            "position_covariance_type": _APPROXIMATED,
        },
    )


def _used_tile(tile_id: TileId) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": geometry_of(tile_id.bbox),
        "properties": {"name": str(tile_id), **_USED_STYLE},
    }


def _line_of(event: RecordEnvelope) -> FoxgloveMessage:
    payload = " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in event.payload.items()
    )
    return FoxgloveMessage(
        LOG_TOPIC,
        "foxglove.Log",
        {
            "timestamp": _time(event.wall_time),
            "level": _LEVELS.get(event.severity, _UNKNOWN_LEVEL),
            "message": f"{event.reason} {payload}".rstrip(),
            "name": event.kind,
            "file": "",
            "line": 0,
        },
    )


def _geojson(features: list[dict[str, Any]]) -> dict[str, Any]:
    return {"geojson": json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False)}


def _time(time: datetime) -> dict[str, int]:
    seconds, rest = divmod(nanoseconds(time), 1_000_000_000)
    return {"sec": seconds, "nsec": rest}
