"""Checks that values of the domain share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs

SHA256_PATTERN = "[0-9a-f]{64}"
"""A SHA-256 as text: 64 lower-case hexadecimal digits."""
_SHA256 = re.compile(SHA256_PATTERN)


def is_sha256(value: object) -> bool:
    """Whether `value` is a SHA-256 as text."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def is_a(
    kind: type[object], *, or_none: bool = False
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """A validator that raises `ValueError` unless the value is an instance of `kind`, or None if allowed."""
    wanted = f"of type {kind.__name__}" + (" or None" if or_none else "")

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind) and not (or_none and value is None):
            raise ValueError(f"{attribute.name} must be {wanted}, got {value!r}")

    return check
