"""Distances, speeds and zooms as operators write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...domain.values.corridors import MAX_HALF_WIDTH_M
from ...domain.values.routes import FASTEST_M_S, SLOWEST_M_S
from ...domain.values.tile_grid import MAX_ZOOM

_METRES = {"m": 1.0, "km": 1_000.0, "nm": 1_852.0, "nmi": 1_852.0}
_METRES_A_SECOND = {"m/s": 1.0, "km/h": 1 / 3.6, "kmh": 1 / 3.6, "kt": 1_852 / 3_600, "kn": 1_852 / 3_600}
_QUANTITY = re.compile(r"(-?(?:\d+(?:\.\d+)?|\.\d+))\s*([a-zA-Z/]+)", re.ASCII)


def parse_distance(text: str) -> float:
    """Metres of `5km`, `3nm` or `500m`, whatever the sign. Raises `ValueError`, also without a unit."""
    return _parse(text, _METRES, "a distance has a unit, such as 5km, 3nm or 500m")


def parse_speed(text: str) -> float:
    """Metres a second of `25m/s`, `90km/h` or `50kt`. As `parse_distance`."""
    return _parse(text, _METRES_A_SECOND, "a speed has a unit, such as 25m/s, 90km/h or 50kt")


def parse_corridor(text: str) -> float:
    """How far a corridor reaches to each side, in metres. Raises `ValueError`, also beyond the limits."""
    metres = parse_distance(text)
    if not 0 < metres <= MAX_HALF_WIDTH_M:
        raise ValueError(
            f"a corridor reaches more than 0 and at most {MAX_HALF_WIDTH_M / 1000:.0f} km, got {text!r}"
        )
    return metres


def parse_flight_speed(text: str) -> float:
    """Metres a second over ground. As `parse_speed`; raises for what no aircraft flies."""
    metres_a_second = parse_speed(text)
    if not SLOWEST_M_S <= metres_a_second <= FASTEST_M_S:
        raise ValueError(f"no aircraft flies a route at {text!r}")
    return metres_a_second


def parse_zoom(text: str) -> int:
    """A zoom level within 0..22. Raises `ValueError`."""
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= MAX_ZOOM):
        raise ValueError(f"a zoom level is a whole number within 0..{MAX_ZOOM}, got {text!r}")
    return int(text)


def parse_zooms(text: str) -> tuple[int, ...]:
    """Zoom levels: `16`, `15-17`, or several of them with commas between. Raises `ValueError`."""
    levels: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        low, high = parse_zoom(first), parse_zoom(last if dash else first)
        if low > high:
            raise ValueError(f"zoom levels go from the lower to the higher, got {part.strip()!r}")
        levels.update(range(low, high + 1))
    return tuple(sorted(levels))


def _parse(text: str, units: Mapping[str, float], rule: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None or len(match[1]) > 20:
        raise ValueError(f"{rule}; got {text!r}")
    return float(match[1]) * unit
