"""One event, one line: the CRC-32 of the JSON as eight hexadecimal digits, a space, compact JSON, a newline.

    3d1f0a52 {"schema_version":"1.4.0","kind":"c6.write",...}

The JSON is ASCII (other characters are escaped), so only a newline ends a line. A reader finds the next line
after any torn or damaged one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import attrs

from ...domain.flight_events import RecordEnvelope
from ...domain.values.validators import as_bool, as_real, as_whole
from ..strict_json import parse_json

MAX_LINE_BYTES = 1 << 20
"""Longer lines are neither written nor read, so a damaged file can't fill a reader's memory."""
_PREFIX_BYTES = 9
_SHOWN_CHARACTERS = 1000


def _plain(value: Any) -> Any:
    """A number or a truth value of NumPy as a plain one, for JSON. Raises `TypeError` for anything else."""
    for take in (as_bool, as_whole, as_real):
        plain = take(value)
        if plain is not value:
            return plain
    raise TypeError(f"JSON has no {type(value).__name__}")


# NaN and Infinity are not JSON; other readers would refuse the line.
_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain)


@attrs.frozen
class RecordLine:
    """A whole line: the envelope, and the JSON as it was written, unknown fields included."""

    envelope: RecordEnvelope
    json: bytes


def encode_line(envelope: RecordEnvelope) -> bytes:
    """The line of an event.

    A payload that JSON can't represent, or that is too long, is replaced by the beginning of its repr under
    `unencodable`, so that the event itself is recorded.
    """
    facts = envelope.to_json()
    try:
        text = _dump(facts)
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None or len(text) > MAX_LINE_BYTES - _PREFIX_BYTES - 1:
        text = _dump({**facts, "payload": {"unencodable": _beginning_of(envelope.payload)}})
    content = text.encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(content), content)


def decode_line(line: bytes) -> RecordLine:
    """Read a line, with or without its newline. Raises `ValueError` when it is damaged."""
    content = line.removesuffix(b"\n")
    text = content[_PREFIX_BYTES:]
    if content[:_PREFIX_BYTES] != b"%08x " % zlib.crc32(text):
        raise ValueError("the checksum does not match")
    try:
        return RecordLine(RecordEnvelope.from_json(parse_json(text.decode("utf-8"))), text)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is not an envelope: {error!r}") from error


def _dump(facts: Mapping[str, Any]) -> str:
    return _encoder.encode(facts)


def _beginning_of(payload: Mapping[str, Any]) -> str:
    try:
        return repr(payload)[:_SHOWN_CHARACTERS]
    except Exception:  # noqa: BLE001 - a foreign object's repr may raise any error; the event is recorded
        return f"a {type(payload).__name__}"
