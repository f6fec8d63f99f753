"""What a person sees of an exported flight: positions, used tiles, sectors, a log, by Foxglove's schemas."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from mcap.reader import make_reader

from aerotile.adapters.geojson_shapes import read_shape
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.recorder import JsonLinesRecorder, RecordReader, export_mcap
from aerotile.adapters.recorder.foxglove_layout import LAYOUT, TILES_URL, write_layout
from aerotile.adapters.recorder.foxglove_messages import SCHEMAS
from aerotile.domain.flight_events import EventKind, FlightEvent
from aerotile.domain.values.lookups import PositionFix
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Polygon
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource

START = datetime(2026, 5, 1, 12, 0, 0, 123_456, tzinfo=timezone.utc)
START_NS = 1_777_636_800_123_456_000
TILE = TileId(16, 34567, 22789, TileSource.IMPORTED)
SECTORS = [
    SectorBoundary("front", SectorClassification.ACTIVE_CONFLICT, Bbox(48.0, 11.0, 49.0, 12.0)),
    SectorBoundary(
        "rear", SectorClassification.STABLE_REAR, Polygon([[(10.0, 47.0), (11.0, 47.0), (10.5, 48.0)]])
    ),
]
BAD_FIX = {"tile": "nonsense", "lat": 1, "lon": 2, "fixed_at": "noon", "error_m": 1, "lookup": None}


@attrs.frozen
class Shown:
    """A message of a topic for people, as the mcap library reads it."""

    topic: str
    schema: str
    log_time: int
    content: dict[str, Any]


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    """A flight of six events, a second apart; each frame was taken 0.1 s before its fix."""
    folder, clock = tmp_path_factory.mktemp("flight"), ManualClock(START)
    recorder = JsonLinesRecorder(folder / "record", clock=clock)
    fix = PositionFix(
        tile_id=TILE, lat=48.1, lon=11.6, fixed_at=START - timedelta(seconds=0.1), error_m=5.0, lookup="a-1"
    )
    events = [
        FlightEvent(EventKind.LOOKUP, "graph", {"lookup": "a-1"}),
        FlightEvent(EventKind.WRITE, "committed", {"tile": str(TILE), "disk_bytes": 7}),
        FlightEvent(EventKind.CLOCK_UNTRUSTED, "behind", {}),
        FlightEvent(EventKind.UPLOAD_GIVEUP, "too_often", {}),
        FlightEvent(EventKind.FIX, "flight_stack", BAD_FIX),
    ]
    recorder.record_fix(fix)
    for event in events:
        clock.advance(timedelta(seconds=1))
        recorder.record(event)
    recorder.close()
    target = folder / "flight.mcap"
    assert export_mcap(RecordReader(folder / "record").lines(), target, SECTORS) == 6
    with target.open("rb") as file:
        return [
            Shown(channel.topic, schema.name, message.log_time, json.loads(message.data))
            for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages()
            if schema is not None and channel.topic.startswith("/")
        ]


def of_topic(flight: list[Shown], topic: str) -> list[Shown]:
    return [each for each in flight if each.topic == topic]


def test_a_fix_is_a_position_at_the_time_of_its_frame_with_its_error(flight: list[Shown]) -> None:
    (shown,) = of_topic(flight, "/fix")
    assert (shown.schema, shown.log_time) == ("foxglove.LocationFix", START_NS)
    assert shown.content == {
        "timestamp": {"sec": START_NS // 10**9, "nsec": 23_456_000},
        "frame_id": "camera",
        "latitude": 48.1,
        "longitude": 11.6,
        "altitude": 0.0,
        "position_covariance": [25.0, 0, 0, 0, 25.0, 0, 0, 0, 1e8],
        "position_covariance_type": 1,
    }


def test_the_tile_of_a_fix_and_the_sectors_are_shapes_to_the_last_bit(flight: list[Shown]) -> None:
    (used,) = of_topic(flight, "/used_tile")
    (feature,) = json.loads(used.content["geojson"])["features"]
    assert (used.schema, used.log_time) == ("foxglove.GeoJSON", START_NS)
    assert feature["properties"]["name"] == str(TILE)
    assert read_shape(feature["geometry"]) == TILE.bbox
    (sectors,) = of_topic(flight, "/sectors")
    assert (sectors.schema, sectors.log_time) == ("foxglove.GeoJSON", START_NS)
    features = json.loads(sectors.content["geojson"])["features"]
    assert [read_shape(each["geometry"]) for each in features] == [sector.shape for sector in SECTORS]
    assert [each["properties"]["name"] for each in features] == [
        "front (active_conflict)", "rear (stable_rear)",
    ]  # fmt: skip


def test_the_log_has_every_event_but_lookups_and_fixes_that_the_map_shows(flight: list[Shown]) -> None:
    lines = of_topic(flight, "/log")
    assert {line.schema for line in lines} == {"foxglove.Log"}
    assert [(line.content["name"], line.content["level"]) for line in lines] == [
        ("c6.write", 2), ("c6.clock_untrusted", 3), ("c11.upload.giveup", 4), ("c6.fix", 2),
    ]  # fmt: skip
    assert lines[0].content["message"] == f"committed tile={TILE} disk_bytes=7"
    assert lines[0].content["timestamp"] == {"sec": START_NS // 10**9 + 2, "nsec": 123_456_000}
    assert "tile=nonsense" in lines[-1].content["message"]


def test_every_message_is_valid_by_the_schema_in_its_file(flight: list[Shown]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for shown in flight:
        jsonschema.Draft202012Validator(SCHEMAS[shown.schema]).validate(shown.content)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_each_schema_agrees_with_the_published_one(name: str, flight: list[Shown]) -> None:
    """The published Protocol Buffers take each message: its members, types, and numbers of enumerations."""
    short = name.partition(".")[2]
    published = pytest.importorskip(f"foxglove_schemas_protobuf.{short}_pb2")
    json_format = pytest.importorskip("google.protobuf.json_format")
    kind = getattr(published, short)
    optional = {"heading", "velocity", "color", "metadata"}
    members = {field.name for field in kind.DESCRIPTOR.fields}
    assert set(SCHEMAS[name]["properties"]) == members - optional
    for enumeration in kind.DESCRIPTOR.enum_types:
        numbers = [value.number for value in enumeration.values]
        (own,) = [each for each in SCHEMAS[name]["properties"].values() if "enum" in each]
        assert own["enum"] == numbers
    messages = [shown for shown in flight if shown.schema == name]
    assert messages
    for shown in messages:
        content = dict(shown.content)
        time = content.pop("timestamp", None)
        parsed = json_format.ParseDict(content, kind())  # refuses members that it does not know
        if time is not None:
            parsed.timestamp.seconds, parsed.timestamp.nanos = time["sec"], time["nsec"]
        back = json_format.MessageToDict(
            parsed,
            preserving_proto_field_name=True,
            use_integers_for_enums=True,
            always_print_fields_with_no_presence=True,
        )
        assert {key: back[key] for key in content} == content


def test_numbers_at_the_end_of_their_range_cost_no_export(tmp_path: Path) -> None:
    clock = ManualClock(datetime(9000, 1, 1, tzinfo=timezone.utc))
    recorder = JsonLinesRecorder(tmp_path / "record", clock=clock)
    largest = sys.float_info.max
    recorder.record_fix(PositionFix(tile_id=TILE, lat=1, lon=2, fixed_at=START, error_m=largest))
    early = {**BAD_FIX, "tile": str(TILE), "fixed_at": "0001-01-01T00:00:00+14:00"}
    recorder.record(FlightEvent(EventKind.FIX, "flight_stack", early))
    of_no_zone = {**BAD_FIX, "tile": str(TILE), "fixed_at": "2026-05-01T12:00:00"}
    recorder.record(FlightEvent(EventKind.FIX, "flight_stack", of_no_zone))
    recorder.close()
    target = tmp_path / "flight.mcap"
    assert export_mcap(RecordReader(tmp_path / "record").lines(), target) == 3
    with target.open("rb") as file:
        messages = [
            (channel.topic, message.log_time, json.loads(message.data))
            for _, channel, message in make_reader(file, validate_crcs=True).iter_messages()
        ]
    assert {log_time for _, log_time, _ in messages} == {2**64 - 1}
    (position,) = [content for topic, _, content in messages if topic == "/fix"]
    assert position["position_covariance"][0] == pytest.approx(1e300)
    first, second = [content["message"] for topic, _, content in messages if topic == "/log"]
    assert "fixed_at=0001-01-01" in first
    assert "fixed_at=2026-05-01T12:00:00 " in second


def test_the_layout_shows_topics_that_an_export_has_and_the_tiles_of_serve(
    flight: list[Shown], tmp_path: Path
) -> None:
    write_layout(tmp_path / "layout.json")
    layout = json.loads((tmp_path / "layout.json").read_bytes())
    assert layout == LAYOUT
    panels = layout["configById"]
    kinds = {panel.partition("!")[0]: settings for panel, settings in panels.items()}
    topics = {shown.topic for shown in flight}
    assert {kinds["map"]["followTopic"], kinds["RosOut"]["topicToRender"]} <= topics
    assert kinds["RawMessages"]["topicPath"] == '"c6.lookup"'
    assert kinds["map"]["customTileUrl"] == TILES_URL

    def shown_panels(node: Any) -> list[str]:
        if isinstance(node, str):
            return [node]
        return [*shown_panels(node["first"]), *shown_panels(node["second"])]

    assert sorted(shown_panels(layout["layout"])) == sorted(panels)


def test_the_layout_has_the_port_at_which_serve_listens() -> None:
    from aerotile.adapters.cli.commands.serve import serve

    (port,) = [each.default for each in serve.params if each.name == "port"]
    assert f"http://127.0.0.1:{port}/tiles/" in TILES_URL
