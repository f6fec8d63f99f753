"""Checks that attrs classes of the domain share: a wrong value is a `ValueError` that shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs


def is_a(
    kind: type[object], *, or_none: bool = False
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """A validator that raises `ValueError` unless the value is an instance of `kind`, or None if allowed."""
    wanted = f"of type {kind.__name__}" + (" or None" if or_none else "")

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind) and not (or_none and value is None):
            raise ValueError(f"{attribute.name} must be {wanted}, got {value!r}")

    return check
