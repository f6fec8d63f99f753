"""Reading one setting's value, from a variable's text or from TOML, into the setting's type."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

import attrs

from ...domain.values.number_texts import read_decimal, read_whole
from .secret import Secret
from .settings import Setting

_BYTE_UNITS: dict[str, int] = {"": 1, "b": 1} | {
    prefix + suffix: int(base ** (power + 1))
    for power, prefix in enumerate("kmgt")
    for suffix, base in (("b", 1000), ("ib", 1024))
}
_BYTE_SIZE = re.compile(r"\s*(\d{1,40})(?:\.(\d{1,40}))?\s*([A-Za-z]*)\s*", re.ASCII)
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


@attrs.frozen
class Given:
    """A value as a source gave it, before it is converted."""

    value: Any
    origin: str
    """The source as an error names it, e.g. `in aerotile.toml`."""
    folder: Path
    """The folder that a relative path is relative to."""


class BadValueError(ValueError):
    """The reason of a refusal, as the rest of a sentence that begins with the setting's name."""


def parse_byte_size(text: str) -> int:
    """Read a number of bytes such as `500 MB`, `64 GiB`, `1.5 TiB`. Raises `ValueError`."""
    match = _BYTE_SIZE.fullmatch(text)
    if match is None or match[3].lower() not in _BYTE_UNITS:
        raise ValueError(f'must be a number of bytes or a size such as "64 GiB", got {text!r}')
    whole, fraction, unit = match[1], match[2] or "", match[3].lower()
    scale: int = 10 ** len(fraction)
    size, rest = divmod(int(whole + fraction) * _BYTE_UNITS[unit], scale)
    if rest:
        raise ValueError(f"must be a whole number of bytes, got {text!r}")
    return size


def parse_boolean(text: str) -> bool:
    """Read 1, true, yes, on or 0, false, no, off, in capitals or not. Raises `BadValueError`."""
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise BadValueError(f"must be true or false, got {text!r}")
    return value


def from_text(setting: Setting, text: str) -> Any:
    """The value that TOML would hold, from a variable's text. Raises `BadValueError`."""
    if _is_list(setting.type):
        if text.lstrip().startswith("["):
            raise BadValueError(f"must have commas between values, no brackets or quotes, got {text!r}")
        return [part.strip() for part in text.split(",") if part.strip()]
    kind = _plain_type(setting.type)
    if kind is bool:
        return parse_boolean(text)
    try:
        if kind is int and setting.unit != "bytes":
            return read_whole(text)
        return read_decimal(text) if kind is float else text
    except ValueError as error:
        raise BadValueError(str(error)) from None


def to_value(setting: Setting, given: Given) -> Any:
    """The value in the setting's type; its range is checked by the section. Raises `BadValueError`."""
    kind, value = _plain_type(setting.type), given.value
    if _is_list(setting.type):
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise BadValueError(f"must be a list of texts, got {value!r}")
        return tuple(value)
    if kind is Secret:
        if not isinstance(value, str):
            raise BadValueError(f"must be a text, got {type_name(value)}")
        return Secret(value) if value else None
    if kind is Path:
        if isinstance(value, str) and not value.strip():
            raise BadValueError("must name a folder, got an empty text")
        if not isinstance(value, (str, Path)):
            raise BadValueError(f"must be a text, got {type_name(value)}")
        return _to_path(given.folder, value)
    if issubclass(kind, Enum):
        values = [choice.value for choice in kind]
        if value not in values:
            raise BadValueError(f"must be one of {', '.join(values)}, got {value!r}")
        return kind(value)
    if kind is int and setting.unit == "bytes" and isinstance(value, str):
        try:
            return parse_byte_size(value)
        except ValueError as error:
            raise BadValueError(str(error)) from None
    if kind is bool and not isinstance(value, bool):
        raise BadValueError(f"must be true or false, got {value!r}")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise BadValueError("must be a number that a float can hold") from None
    return value


def _to_path(folder: Path, value: str | Path) -> Path:
    try:
        path = folder / Path(value).expanduser()
    except RuntimeError:
        raise BadValueError(f"names the home of a user that is not known here, got {str(value)!r}") from None
    try:
        # The database's client and the flight record take text, not bytes.
        str(path).encode()
    except UnicodeEncodeError:
        raise BadValueError(f"must be UTF-8 text, got {str(path)!r}") from None
    if "\0" in str(path):
        raise BadValueError(f"must hold no null character, got {str(value)!r}")
    return path


def _is_list(kind: Any) -> bool:
    """Whether a type is `tuple[str, ...]`: a list in TOML, separated by commas in a variable."""
    return get_origin(kind) is tuple


def _plain_type(kind: Any) -> type[Any]:
    """The class of a type such as `Path | None`."""
    plain = [part for part in get_args(kind) if part is not type(None)] or [kind]
    assert isinstance(plain[0], type)
    return plain[0]


def type_name(value: Any) -> str:
    """The type of a TOML value, for a message."""
    return {
        dict: "a section",
        list: "a list",
        str: "a text",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }.get(type(value), f"a {type(value).__name__}")
