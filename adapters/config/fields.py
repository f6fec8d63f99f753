"""What the settings' fields are made of: their metadata, and validators that raise `ValueError`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from ...domain.values.validators import check_number, check_one_line, is_real, is_sha256, is_whole

MIB = 1 << 20
GIB = 1 << 30
MAX_BYTES = (1 << 63) - 1
"""The largest number of bytes that the database holds."""

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def setting(
    default: Any,
    about: str,
    *,
    unit: str | None = None,
    kind: type | None = None,
    check: Validator | None = None,
) -> Any:
    """A field for a setting: its default, its meaning and its unit, and what it accepts.

    It accepts what `check` does; without `check` instances of `kind`, default that of `default`. A setting
    whose default is None accepts None too.
    """
    if check is None:
        check = instance(type(default) if kind is None else kind)
    return attrs.field(
        default=default,
        validator=attrs.validators.optional(check) if default is None else check,
        metadata={"about": about, "unit": unit},
    )


def whole(low: int, high: int) -> Validator:
    """Accept whole numbers from `low` to `high`."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not is_whole(value):
            raise ValueError(f"{attribute.name} must be a whole number, got {value!r}")
        if not low <= value <= high:
            raise ValueError(f"{attribute.name} must be within {low}..{high}, got {value!r}")

    return check


def seconds(low: float, high: float) -> Validator:
    """Accept numbers of seconds from `low` to `high`."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not is_real(value) or math.isnan(value):
            raise ValueError(f"{attribute.name} must be a number of seconds, got {value!r}")
        if not low <= value <= high:
            raise ValueError(f"{attribute.name} must be within {low:g}..{high:g} seconds, got {value!r}")

    return check


def share(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Accept numbers from 0 to 1."""
    check_number(attribute.name, value, 0, 1)


def public_keys(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Accept Ed25519 public keys as texts, each once."""
    if not isinstance(value, tuple):
        raise ValueError(f"{attribute.name} must be a tuple, got {value!r}")
    for key in value:
        if not is_sha256(key):  # a public key has as many digits as a SHA-256
            raise ValueError(f"{attribute.name} must be of 64 lower hexadecimal digits each, got {key!r}")
    if len(set(value)) != len(value):
        raise ValueError(f"{attribute.name} must not list a key twice")


def check_threshold(keys: Sequence[str], threshold: int) -> None:
    """Refuse a threshold that the pinned keys can't reach."""
    if keys and threshold > len(keys):
        raise ValueError(
            f"threshold must not exceed the number of public_keys ({len(keys)}), got {threshold}"
        )


def one_line(most: int) -> Validator:
    """Accept texts of one line, with at most that many characters."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        check_one_line(value, attribute.name, most)

    return check


def instance(kind: type) -> Validator:
    """Accept instances of `kind`."""

    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise ValueError(f"{attribute.name} must be a {kind.__name__}, got {value!r}")

    return check
