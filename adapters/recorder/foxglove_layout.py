"""A layout of Foxglove for an exported flight: map, log, and the lookups as they were recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...domain.errors import StoreUnavailableError
from ...domain.flight_events import EventKind
from ..files.atomic_file import atomic_file
from .foxglove_messages import FIX_TOPIC, LOG_TOPIC

TILES_URL = "http://127.0.0.1:8087/tiles/{z}/{x}/{y}.jpg"
"""Of `aerotile serve` on the same machine: the map has a ground without any network."""
_MAP, _LOG, _LOOKUPS = "map!flight", "RosOut!log", "RawMessages!lookups"
LAYOUT: dict[str, Any] = {
    "configById": {
        _MAP: {
            "layer": "custom",
            "customTileUrl": TILES_URL,
            "maxNativeZoom": 18,
            "followTopic": FIX_TOPIC,
            "zoomLevel": 12,
            "disabledTopics": [],
            "topicColors": {},
        },
        _LOG: {"topicToRender": LOG_TOPIC, "minLogLevel": 1, "searchTerms": []},
        # In quotes: without them what follows the point would be a field of a topic `c6`.
        _LOOKUPS: {"topicPath": f'"{EventKind.LOOKUP.value}"', "diffEnabled": False},
    },
    "layout": {
        "direction": "row",
        "first": _MAP,
        "second": {"direction": "column", "first": _LOG, "second": _LOOKUPS},
        "splitPercentage": 60,
    },
    "globalVariables": {},
    "playbackConfig": {"speed": 1},
    "userNodes": {},
}


def write_layout(target: Path) -> None:
    """Write the layout to a file, whole or not at all. Raises `StoreUnavailableError`."""
    try:
        with atomic_file(target, 0o640, durable=False) as file:
            file.write(json.dumps(LAYOUT, indent=2).encode("ascii") + b"\n")
    except OSError as error:
        raise StoreUnavailableError(
            f"{target} can't be written: {error.strerror or error}",
            remedy="choose another place for the file",
        ) from error
