"""The flight record's MCAP export, read back with the mcap library's own reader."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from mcap.reader import make_reader

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.recorder import JsonLinesRecorder, RecordReader, export_mcap
from aerotile.adapters.recorder.line_format import RecordLine
from aerotile.domain.errors import RuntimeNotAvailableError, StoreUnavailableError
from aerotile.domain.flight_events import EVENT_KINDS, EventKind, FlightEvent, RecordEnvelope

START = datetime(2026, 5, 1, 12, 0, 0, 123_456, tzinfo=timezone.utc)
START_NS = 1_777_636_800_123_456_000


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record with three events of every kind, a second apart."""
    clock = ManualClock(START)
    recorder = JsonLinesRecorder(tmp_path / "record", clock=clock)
    for _ in range(3):
        for kind, specification in EVENT_KINDS.items():
            recorder.record(FlightEvent(kind, "reason", dict.fromkeys(specification.payload_fields, 1)))
            clock.advance(timedelta(seconds=1))
    recorder.close()
    return tmp_path / "record"


def test_every_event_is_a_message_on_the_channel_of_its_kind(record: Path, tmp_path: Path) -> None:
    target = tmp_path / "flight.mcap"
    assert export_mcap(RecordReader(record).lines(), target) == 3 * len(EVENT_KINDS)
    with target.open("rb") as file:
        found = list(make_reader(file, validate_crcs=True).iter_messages())
    messages = [each for each in found if not each[1].topic.startswith("/")]
    assert [channel.topic for _, channel, _ in messages] == [kind.value for kind in EVENT_KINDS] * 3
    assert [message.data for _, _, message in messages] == [
        line.json for line in RecordReader(record).lines()
    ]
    assert [message.log_time for _, _, message in messages] == [
        START_NS + number * 1_000_000_000 for number in range(3 * len(EVENT_KINDS))
    ]


def test_each_channel_has_one_json_schema_that_lists_the_catalogues_fields(
    record: Path, tmp_path: Path
) -> None:
    export_mcap(RecordReader(record).lines(), tmp_path / "flight.mcap")
    with (tmp_path / "flight.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert {channel.message_encoding for channel in summary.channels.values()} == {"json"}
    fields = {}
    for schema in summary.schemas.values():
        assert schema.encoding == "jsonschema"
        if schema.name.startswith("foxglove."):
            continue
        payload = json.loads(schema.data)["properties"]["payload"]
        fields[schema.name] = tuple(payload["properties"])
    assert fields == {kind.value: specification.payload_fields for kind, specification in EVENT_KINDS.items()}


def test_a_kind_newer_than_this_program_is_exported_too(tmp_path: Path) -> None:
    event = FlightEvent(EventKind.WRITE, "reason", {})
    envelope = RecordEnvelope.of(event, wall_time=datetime(1969, 1, 1, tzinfo=timezone.utc), monotonic_ns=0)
    newer = RecordEnvelope.from_json(envelope.to_json() | {"kind": "c99.new"})
    export_mcap([RecordLine(newer, b'{"extra":1}')], tmp_path / "flight.mcap")
    with (tmp_path / "flight.mcap").open("rb") as file:
        ((schema, channel, message),) = make_reader(file).iter_messages(topics=["c99.new"])
    assert schema is not None
    assert (schema.name, channel.topic, message.data, message.log_time) == (
        "c99.new",
        "c99.new",
        b'{"extra":1}',
        0,
    )


def test_a_kind_that_is_no_utf_8_is_exported_too(tmp_path: Path) -> None:
    event = FlightEvent(EventKind.WRITE, "reason", {})
    envelope = RecordEnvelope.of(event, wall_time=START, monotonic_ns=0)
    halved = RecordEnvelope.from_json(envelope.to_json() | {"kind": "c99.\ud800"})
    export_mcap([RecordLine(halved, b'{"kind":"c99.\\ud800"}')], tmp_path / "flight.mcap")
    with (tmp_path / "flight.mcap").open("rb") as file:
        ((_, _, message),) = make_reader(file).iter_messages(topics=["c99.?"])
    assert message.data == b'{"kind":"c99.\\ud800"}'


def test_an_empty_record_is_a_readable_file(tmp_path: Path) -> None:
    assert export_mcap([], tmp_path / "flight.mcap") == 0
    with (tmp_path / "flight.mcap").open("rb") as file:
        assert list(make_reader(file).iter_messages()) == []


def test_an_export_that_fails_leaves_the_earlier_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "flight.mcap"
    target.write_bytes(b"earlier")

    with pytest.raises(StoreUnavailableError):
        export_mcap(RecordReader(tmp_path / "nowhere").lines(), target)
    assert target.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [target]


def test_an_export_writes_through_no_link_that_somebody_put_in_its_way(record: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep me")
    (tmp_path / ".flight.mcap.tmp").symlink_to(precious)
    (tmp_path / "flight.mcap").symlink_to(precious)
    assert export_mcap(RecordReader(record).lines(), tmp_path / "flight.mcap") > 0
    assert precious.read_bytes() == b"keep me"
    assert not (tmp_path / "flight.mcap").is_symlink()


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="nowhere"):
        export_mcap([], tmp_path / "nowhere" / "flight.mcap")


def test_without_the_mcap_package_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcap.writer", None)
    with pytest.raises(RuntimeNotAvailableError) as refused:
        export_mcap([], tmp_path / "flight.mcap")
    assert refused.value.remedy == "pip install 'aerotile[mcap]'"
