"""Reading JSON without the extensions of Python's reader, and without a choice between two values."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def parse_json(text: str) -> Any:
    """Read a JSON text; NaN, Infinity and a name twice in one object are refused.

    Raises `ValueError`, `RecursionError`.
    """
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in members:
        if name in made:
            raise ValueError(f"{name[:40]!r} comes twice in one object")
        made[name] = value
    return made
