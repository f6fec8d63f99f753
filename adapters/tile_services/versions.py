"""How a server names the state of a tile, and how it is asked for another one (RFC 9110, 8.8 and 13.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_CONDITIONS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
"""The better one first: two changes may come within a second."""
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?")


def version_of(headers: Mapping[str, str]) -> str | None:
    """The header and its value, as `ETag: "33a64df"`; None where the answer has none that fits."""
    for name in _CONDITIONS:
        value = headers.get(name, "").strip()
        if _VALUE.fullmatch(value):
            return f"{name}: {value}"
    return None


def condition_of(version: str | None) -> dict[str, str]:
    """The header of a request for another version; none for a text that is no version."""
    name, _, value = (version or "").partition(": ")
    return {_CONDITIONS[name]: value} if name in _CONDITIONS and _VALUE.fullmatch(value) else {}
