"""Datasets: what tiles were made from, and what its licence allows."""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum

import attrs

from .validators import aware_utc, check_kind, check_one_line, is_a, sha256_digits

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_TEXT = 1_000
"""Characters that a licence, an attribution or a source may have."""


class DigestOf(str, Enum):
    """What a dataset's digest is the SHA-256 of."""

    FILE = "file"
    """The bytes of one file."""
    FOLDER = "folder"
    """A line `SHA-256  zoom/x/y` for each tile of a folder, as `sha256sum` writes them, sorted by place."""
    ADDRESS = "address"
    """The text of an address, whatever lies behind it."""
    STATED = "stated"
    """What the supplier or the operator says; no program of this project computed it."""


@attrs.frozen
class SourceDigest:
    """The digest of a source, and what it is taken over."""

    of: DigestOf
    sha256: str
    """64 lower-case hexadecimal digits."""


def is_dataset_name(value: object) -> bool:
    """Whether a dataset may have the name `value`."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def check_dataset_name(value: object) -> None:
    """Raise `ValueError` unless `value` is a dataset's name."""
    if not is_dataset_name(value):
        raise ValueError(
            "a dataset's name has 1 to 64 letters, digits, dots, underscores and hyphens, and begins with a "
            f"letter or digit, got {value!r}"
        )


def _name(_: object, __: attrs.Attribute[str], value: str) -> None:
    check_dataset_name(value)


def _text(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    check_one_line(value, attribute.name, MAX_TEXT)


@attrs.frozen(kw_only=True)
class Dataset:
    """What tiles were made from. The same name never stands for another source."""

    name: str = attrs.field(validator=_name)
    """1 to 64 letters, digits, dots, underscores and hyphens."""
    licence: str = attrs.field(validator=_text)
    """Its name or identifier, such as `CC-BY-4.0`."""
    attribution: str = attrs.field(validator=_text)
    """The words that must be shown with the tiles."""
    may_be_stored_offline: bool = attrs.field(validator=is_a(bool))
    """Whether the licence allows to store the tiles and fly with them; nothing is assumed."""
    source: str = attrs.field(validator=_text)
    """Where it came from, such as the name of a file, or an address without its token."""
    source_sha256: str = attrs.field(validator=sha256_digits)
    """The digest of the source, 64 lower-case hexadecimal digits."""
    digest_of: DigestOf = attrs.field(validator=is_a(DigestOf))
    """What the digest is taken over."""
    captured_at: datetime | None = attrs.field(default=None, validator=attrs.validators.optional(aware_utc))
    """When the ground looked like that, for the whole dataset; None where tiles have dates of their own."""
    captured_from: str = attrs.field(validator=_text)
    """Where the capture dates came from."""

    def is_of_source(self, other: Dataset) -> bool:
        """Whether both are of the same source with the same digest."""
        check_kind(other, Dataset, "other")
        mine, others = ((d.source, d.source_sha256, d.digest_of) for d in (self, other))
        return mine == others

    def differences(self, other: Dataset) -> tuple[str, ...]:
        """The fields that differ, in their order, each with the value here and there."""
        check_kind(other, Dataset, "other")
        return tuple(
            f"{field.name} {_shown(getattr(self, field.name))}, not {_shown(getattr(other, field.name))}"
            for field in attrs.fields(Dataset)
            if getattr(self, field.name) != getattr(other, field.name)
        )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if isinstance(value, DigestOf) else str(value)
