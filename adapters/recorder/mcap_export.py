"""A flight record as MCAP, the container that robotics viewers open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ...domain.errors import RuntimeNotAvailableError, StoreUnavailableError
from ...domain.flight_events import EVENT_KINDS, Severity
from ..files.atomic_file import atomic_file
from .line_format import RecordLine

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def export_mcap(lines: Iterable[RecordLine], target: Path) -> int:
    """Write `lines` (of `RecordReader.lines`) to a new MCAP file and return how many there were.

    One channel per kind, its name the topic, JSON messages with a JSON schema; the message is the JSON as it
    was recorded, `log_time` its wall time in nanoseconds. The file appears whole or not at all, and replaces
    a file of the same name. Raises `RuntimeNotAvailableError` when the `mcap` package is not installed,
    `StoreUnavailableError` when the file can't be written.
    """
    try:
        from mcap.writer import Writer
    except ImportError as error:
        raise RuntimeNotAvailableError(
            "the export to MCAP needs the mcap package, which is not installed",
            remedy="pip install 'aerotile[mcap]'",
        ) from error
    try:
        with atomic_file(target, 0o640, durable=False) as file:
            writer: Any = Writer(file)
            writer.start(profile="", library="aerotile")
            count = _write_messages(writer, lines)
            writer.finish()
    except OSError as error:
        raise StoreUnavailableError(
            f"{target} can't be written: {error.strerror or error}",
            remedy="choose another place for the file",
        ) from error
    return count


def _write_messages(writer: Any, lines: Iterable[RecordLine]) -> int:
    channels: dict[str, int] = {}
    count = 0
    for line in lines:
        kind = line.envelope.kind
        if kind not in channels:
            schema = writer.register_schema(kind, "jsonschema", json.dumps(_schema(kind)).encode())
            channels[kind] = writer.register_channel(kind, "json", schema)
        # MCAP's times are unsigned; a clock that was never set may show a time before 1970.
        log_time = max(0, (line.envelope.wall_time - _EPOCH) // _MICROSECOND * 1000)
        writer.add_message(channels[kind], log_time, line.json, log_time, sequence=count)
        count += 1
    return count


def _schema(kind: str) -> dict[str, Any]:
    """The JSON schema of one kind's lines; for a kind unknown to this code, the envelope's schema."""
    text = {"type": "string"}
    payload: dict[str, Any] = {"type": "object"}
    fields = list(_payload_fields(kind))
    if fields:
        payload["properties"] = {field: {} for field in fields}
    return {
        "title": kind,
        "type": "object",
        "properties": {
            "schema_version": text,
            "kind": text,
            "severity": {"type": "string", "examples": [severity.value for severity in Severity]},
            "reason": text,
            "wall_time": {"type": "string", "format": "date-time"},
            "monotonic_ns": {"type": "integer"},
            "payload": payload,
        },
        "required": ["schema_version", "kind", "severity", "reason", "wall_time", "monotonic_ns", "payload"],
    }


def _payload_fields(kind: str) -> Iterator[str]:
    for known, specification in EVENT_KINDS.items():
        if known.value == kind:
            yield from specification.payload_fields
