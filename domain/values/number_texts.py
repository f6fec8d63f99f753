"""Numbers as persons and files write them.

`int` and `float` alone take `1_0` and digits of any script, and `float` takes `nan`, `inf` and `1e400` too.
"""

from __future__ import annotations

import math
import re

_WHOLE = re.compile(r"-?[0-9]{1,40}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_SHOWN = 40


def read_whole(text: str) -> int:
    """The whole number of a text, in plain digits. Raises `ValueError`, with the rest of a sentence."""
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"must be a whole number in plain digits, got {text[:_SHOWN]!r}")
    return int(text)


def read_decimal(text: str) -> float:
    """The number of a text, in plain digits, with an exponent or without; it is finite. As `read_whole`."""
    number = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"must be a number in plain digits, got {text[:_SHOWN]!r}")
    return number


def read_decimals(text: str, count: int) -> list[float]:
    """`count` numbers with commas between, and blanks beside the commas. As `read_decimal`."""
    parts = text.split(",")
    if len(parts) != count:
        raise ValueError(f"must be {count} numbers with commas between, got {text[:_SHOWN]!r}")
    return [read_decimal(part.strip()) for part in parts]
