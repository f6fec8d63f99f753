"""Reading JSON without the extensions of Python's reader."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def parse_json(text: str) -> Any:
    """Read a JSON text; NaN and Infinity are refused. Raises `ValueError`, `RecursionError`."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
