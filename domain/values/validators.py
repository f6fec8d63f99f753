"""Checks and conversions that values of the domain share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from numbers import Integral, Real
from typing import Any, TypeVar

import attrs

T = TypeVar("T")

SHA256_PATTERN = "[0-9a-f]{64}"
"""A SHA-256 as text: 64 lower-case hexadecimal digits."""
_SHA256 = re.compile(SHA256_PATTERN)
MOST_ROWS = (1 << 63) - 1
"""The greatest whole number of SQL."""
LONGEST_WAIT_S = 1e9
"""Thirty years; threads can't be told to wait for more than a few hundred."""


def is_sha256(value: object) -> bool:
    """Whether `value` is a SHA-256 as text."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def sha256_digits(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    """A validator that raises `ValueError` unless the value is a SHA-256 as text."""
    if not is_sha256(value):
        raise ValueError(f"{attribute.name} must be 64 lower-case hexadecimal digits, got {value!r}")


def check_aware_utc(value: object, name: str) -> None:
    """Raise `ValueError` unless `value` is an aware datetime in UTC."""
    if not isinstance(value, datetime) or value.utcoffset() != timedelta(0):
        raise ValueError(f"{name} must be an aware datetime in UTC, got {value!r}")


def aware_utc(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """A validator that raises `ValueError` unless the value is an aware datetime in UTC."""
    check_aware_utc(value, attribute.name)


def check_one_line(value: object, name: str, most: int) -> None:
    """Raise `ValueError` unless `value` is a text for people: one line without spaces around it."""
    if (
        not isinstance(value, str)
        or not value.isprintable()
        or not 0 < len(value) <= most
        or value != value.strip()
    ):
        raise ValueError(
            f"{name} must be one line of 1 to {most} printable characters and no outer space, "
            f"got {value!r:.80}"
        )


def is_a(
    kind: type[object], *, or_none: bool = False
) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """A validator that raises `ValueError` unless the value is an instance of `kind`, or None if allowed."""
    wanted = f"of type {kind.__name__}" + (" or None" if or_none else "")

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind) and not (or_none and value is None):
            raise ValueError(f"{attribute.name} must be {wanted}, got {value!r}")

    return check


def check_kind(value: object, kind: type[object], name: str, *, or_none: bool = False) -> None:
    """Raise `TypeError` unless the argument `name` is an instance of `kind`, or None if allowed.

    The message has the type of a wrong value, not the value: pixels in the place of metadata are megabytes.
    """
    if not isinstance(value, kind) and not (or_none and value is None):
        wanted = kind.__name__ + (" or None" if or_none else "")
        raise TypeError(f"{name} must be of type {wanted}, got {type(value).__name__}")


def check_methods(value: object, methods: Iterable[str], name: str) -> None:
    """Raise `TypeError` unless the argument `name` has all of `methods`."""
    for method in methods:
        if not callable(getattr(value, method, None)):
            raise TypeError(f"{name} must have a method {method}, got {type(value).__name__}")


def taken(values: Iterable[T], name: str, of: str) -> tuple[T, ...]:
    """All of an iterable. Raises `TypeError` for anything else, and for a text."""
    if not isinstance(values, (str, bytes)):
        try:
            found = iter(values)
        except TypeError:
            pass
        else:
            return tuple(found)  # outside of `try`: what the iterable raises is the caller's
    raise TypeError(f"{name} must be an iterable of {of}, got {type(values).__name__}")


def taken_as(values: Iterable[T], kind: type[T], name: str) -> tuple[T, ...]:
    """All of an iterable. Raises `TypeError` unless each value is an instance of `kind`."""
    found = taken(values, name, kind.__name__)
    for place, value in enumerate(found):
        check_kind(value, kind, f"{name}[{place}]")
    return found


def as_whole(value: Any) -> Any:
    """A whole number of any library, NumPy's too, as an `int`. Everything else as it is, for the validator.

    A bool is no number here, and a float is no whole number, 3.0 neither. A subclass of `int` may write
    itself as another text, which would be the name of a folder.
    """
    if type(value) is int or isinstance(value, bool):
        return value
    return int(value) if isinstance(value, Integral) else value


def as_text(value: Any) -> Any:
    """A text of any library, such as NumPy's, as a plain `str`. Everything else as it is."""
    return str.__str__(value) if isinstance(value, str) else value


def as_real(value: Any) -> Any:
    """A real number of any library, NumPy's too, as a `float`. Everything else as it is."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Real):
        try:
            return float(value)
        except OverflowError:  # beyond every range
            return math.inf
    return value


def as_bool(value: Any) -> Any:
    """A truth value of NumPy as a `bool`. Everything else as it is, 0 and 1 too."""
    kind = type(value)
    return bool(value) if (kind.__module__, kind.__name__.rstrip("_")) == ("numpy", "bool") else value


def is_whole(value: object) -> bool:
    """Whether `value` is a plain whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_real(value: object) -> bool:
    """Whether `value` is a plain number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raise `ValueError` unless `value` is a plain number from `low` to `high`."""
    if not is_real(value) or not low <= value <= high:
        raise ValueError(f"{name} must be a number within {low}..{high}, got {value!r}")


def check_bool(value: bool, name: str) -> bool:
    """A truth value as a plain one. Raises `ValueError` for anything else, 0 and 1 too."""
    plain = as_bool(value)
    if not isinstance(plain, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return plain


def check_real(value: float, name: str, of: str = "") -> float:
    """A number as a plain one. Raises `ValueError` for anything else."""
    plain: float = as_real(value)
    if not is_real(plain):
        raise ValueError(f"{name} must be a number{of}, got {value!r}")
    return plain


def check_whole(value: int, name: str) -> int:
    """A whole number as a plain one. Raises `ValueError` for anything else."""
    plain: int = as_whole(value)
    if not is_whole(plain):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return plain


def check_timeout(timeout_s: float | None) -> float | None:
    """A time to wait as a plain number; None, as long as it takes, for one that no clock counts to.

    Raises `ValueError` unless it is None or 0 or more.
    """
    if timeout_s is None:
        return None
    plain: float = as_real(timeout_s)
    if not is_real(plain) or not plain >= 0:
        raise ValueError(f"timeout_s must be 0 or more seconds, got {timeout_s!r}")
    return plain if plain <= LONGEST_WAIT_S else None


def check_limit(limit: int) -> int:
    """The most rows that a caller wants, as a plain number that the database counts to.

    Raises `ValueError` unless it is 1 or more.
    """
    plain: int = as_whole(limit)
    if not is_whole(plain) or plain < 1:
        raise ValueError(f"limit must be 1 or more, got {limit!r}")
    return min(plain, MOST_ROWS)


def plain_numbers(_: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """A field transformer of attrs: int, float and bool fields take those of any library as plain ones.

    They are converted once, in the constructor, so SQL, JSON and compiled code meet no other kind. Texts that
    compiled code meets name `as_text` as their converter.
    """
    converters: dict[Any, Callable[[Any], Any]] = {"int": as_whole, "float": as_real, "bool": as_bool}
    return [
        field.evolve(converter=converters[field.type])
        if field.converter is None and field.type in converters
        else field
        for field in fields
    ]
