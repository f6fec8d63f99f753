"""A flight record as MCAP, the container that robotics viewers open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...domain.errors import RuntimeNotAvailableError, StoreUnavailableError
from ...domain.flight_events import EVENT_KINDS, Severity
from ...domain.values.sectors import SectorBoundary
from ..files.atomic_file import atomic_file
from .foxglove_messages import SCHEMAS, messages_of, nanoseconds, sectors_message
from .line_format import RecordLine


def export_mcap(lines: Iterable[RecordLine], target: Path, sectors: Sequence[SectorBoundary] = ()) -> int:
    """Write `lines` (of `RecordReader.lines`) to a new MCAP file and return how many there were.

    One channel per kind, its name the topic, JSON messages with a JSON schema; the message is the JSON as it
    was recorded, `log_time` its wall time in nanoseconds. Beside them, for people, the topics of
    `foxglove_messages`: fixes, the tiles that gave them, a log, and `sectors` at the time of the first event.
    The file appears whole or not at all, and replaces a file of the same name. Raises
    `RuntimeNotAvailableError` when the `mcap` package is not installed, `StoreUnavailableError` when the file
    can't be written.
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
            count = _write_messages(_Channels(writer), lines, sectors)
            writer.finish()
    except OSError as error:
        raise StoreUnavailableError(
            f"{target} can't be written: {error.strerror or error}",
            remedy="choose another place for the file",
        ) from error
    return count


class _Channels:
    """The channels of a file by their topics, each made with its first message."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._messages: dict[str, int] = {}

    def add(self, topic: str, schema: str, facts: Mapping[str, Any], message: bytes, log_time: int) -> None:
        """Add a message of JSON, of the schema named so, which `facts` describe."""
        if topic not in self._channels:
            if schema not in self._schemas:
                content = json.dumps(facts).encode()
                self._schemas[schema] = self._writer.register_schema(schema, "jsonschema", content)
            self._channels[topic] = self._writer.register_channel(topic, "json", self._schemas[schema])
        number = self._messages.get(topic, 0)
        self._messages[topic] = number + 1
        self._writer.add_message(self._channels[topic], log_time, message, log_time, sequence=number)


def _write_messages(
    channels: _Channels, lines: Iterable[RecordLine], sectors: Sequence[SectorBoundary]
) -> int:
    count = 0
    for line in lines:
        event = line.envelope
        log_time = nanoseconds(event.wall_time)
        shown = list(messages_of(event))
        if sectors and count == 0:
            shown.insert(0, sectors_message(sectors))
        # MCAP's texts are UTF-8, which has no half of a surrogate pair; the message says the kind as it is.
        topic = event.kind.encode("utf-8", "replace").decode()
        channels.add(topic, topic, _schema(topic), line.json, log_time)
        for each in shown:
            channels.add(each.topic, each.schema, SCHEMAS[each.schema], each.to_json(), log_time)
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
