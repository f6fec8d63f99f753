"""Distances and speeds as operators write them: a number and its unit."""

from __future__ import annotations

import re
from collections.abc import Mapping

_METRES = {"m": 1.0, "km": 1_000.0, "nm": 1_852.0, "nmi": 1_852.0}
_METRES_A_SECOND = {"m/s": 1.0, "km/h": 1 / 3.6, "kmh": 1 / 3.6, "kt": 1_852 / 3_600, "kn": 1_852 / 3_600}
_QUANTITY = re.compile(r"(-?(?:\d+(?:\.\d+)?|\.\d+))\s*([a-zA-Z/]+)", re.ASCII)


def parse_distance(text: str) -> float:
    """Metres of `5km`, `3nm` or `500m`, whatever the sign. Raises `ValueError`, also without a unit."""
    return _parse(text, _METRES, "a distance has a unit, such as 5km, 3nm or 500m")


def parse_speed(text: str) -> float:
    """Metres a second of `25m/s`, `90km/h` or `50kt`. As `parse_distance`."""
    return _parse(text, _METRES_A_SECOND, "a speed has a unit, such as 25m/s, 90km/h or 50kt")


def _parse(text: str, units: Mapping[str, float], rule: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None or len(match[1]) > 20:
        raise ValueError(f"{rule}; got {text!r}")
    return float(match[1]) * unit
