"""Reading JSON without the extensions of Python's reader, and without a choice between two values."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def parse_json(text: str) -> Any:
    """Read a JSON text; NaN, Infinity, 1e999 and a name twice in one object are refused.

    Raises `ValueError`, `RecursionError`.
    """
    return json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_object)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in members:
        if name in made:
            raise ValueError(f"{name[:40]!r} comes twice in one object")
        made[name] = value
    return made
