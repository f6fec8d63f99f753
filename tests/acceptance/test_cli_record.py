"""`aerotile record`: the flight record of a filled store, filtered, exported, and damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from cli_calls import BAD_CALL, Call

from aerotile.adapters.recorder.line_format import decode_line, encode_line


def test_the_record_tells_of_each_write(call: Call, filled: Path) -> None:
    events = call("record", "--json").json_lines
    assert [event["kind"] for event in events] == ["c6.write"] * 4
    assert {event["payload"]["tile"] for event in events} == {f"imported/7/60/{y}" for y in range(4)}
    lines = call("record").out.splitlines()
    assert len(lines) == 4
    assert all(" info " in line and " c6.write committed tile=imported/7/60/" in line for line in lines)


def test_the_record_is_filtered(
    call: Call, filled: Path, days_ago: Callable[[int], str], jpeg: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "bad/7/61").mkdir(parents=True)
    (tmp_path / "bad/7/61/0.jpg").write_bytes(jpeg())
    (tmp_path / "bad/7/61/0.jpg.sha256").write_text(f"{'0' * 64}  0.jpg\n")
    call("ingest", "bad", "--captured-at", days_ago(1))
    (failed,) = call("record", "--severity", "warning", "--json").json_lines
    assert (failed["kind"], failed["reason"]) == ("c6.write_failed", "hash_gate")
    assert len(call("record", "--kind", "c6.write", "--json").json_lines) == 4
    assert len(call("record", "--kind", "c6.write*", "--json").json_lines) == 5
    unknown = call("record", "--kind", "c6.wrote*")
    assert (unknown.code, unknown.out) == (0, "")
    assert unknown.err == "warning: this program knows no kind c6.wrote*\n"
    assert call("record", "--since", days_ago(-2)).out == ""
    assert call("record", "--until", days_ago(1)).out == ""
    assert len(call("record", "--since", days_ago(1), "--json").json_lines) == 5


def test_the_record_is_exported_to_mcap(call: Call, filled: Path, tmp_path: Path) -> None:
    from mcap.reader import make_reader

    box = {"type": "Polygon", "coordinates": [[[10, 50], [12, 50], [12, 51], [10, 51], [10, 50]]]}
    features = [
        {"type": "Feature", "properties": {"classification": "stable_rear"}, "id": name, "geometry": geometry}
        for name, geometry in (("rear", box), ("nowhere", None))
    ]
    Path("s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    export = call("record", "--mcap", "flight.mcap", "--sectors", "s.geojson", "--layout", "l.json", "--json")
    assert export.json == {"file": "flight.mcap", "events": 4, "without_geometry": ["nowhere"]}
    with (tmp_path / "flight.mcap").open("rb") as stream:
        topics = [channel.topic for _, channel, _ in make_reader(stream).iter_messages()]
    assert sorted(topics) == ["/log"] * 4 + ["/sectors"] + ["c6.write"] * 4
    assert json.loads(Path("l.json").read_bytes())["configById"]
    assert "nowhere has no geometry" in call("record", "--mcap", "f.mcap", "--sectors", "s.geojson").out


def test_an_export_is_not_overwritten_by_its_layout(call: Call, filled: Path) -> None:
    refused = call("record", "--mcap", "flight.mcap", "--layout", "./flight.mcap")
    assert (refused.code, "name the same file" in refused.error) == (BAD_CALL, True)
    assert not Path("flight.mcap").exists()


def test_an_export_replaces_no_file_least_of_all_the_record(call: Call, filled: Path) -> None:
    (segment,) = Path("aerotile-data/record").glob("*.jsonl")
    recorded = segment.read_bytes()
    for options in (["--mcap", segment], ["--mcap", "flight.mcap", "--layout", segment]):
        refused = call("record", *options)
        assert (refused.code, f"{segment} is there, and nothing is" in refused.error) == (BAD_CALL, True)
    assert segment.read_bytes() == recorded
    assert not Path("flight.mcap").exists()


def test_a_time_that_ends_before_it_begins_is_refused(call: Call, filled: Path) -> None:
    refused = call("record", "--since", "2026-06-01", "--until", "2026-05-01")
    assert (refused.code, "--since 2026-06-01T00:00:00+00:00 is after" in refused.error) == (BAD_CALL, True)


@pytest.mark.parametrize("option", [["--sectors", "s.geojson"], ["--layout", "l.json"]])
def test_what_is_drawn_beside_an_export_needs_one(call: Call, filled: Path, option: list[str]) -> None:
    Path("s.geojson").write_text("{}")
    refused = call("record", *option)
    assert (refused.code, "are for --mcap" in refused.error) == (BAD_CALL, True)
    assert not Path("l.json").exists()


def test_sectors_that_can_not_be_read_leave_no_export(call: Call, filled: Path) -> None:
    Path("s.geojson").write_text("{}")
    refused = call("record", "--mcap", "flight.mcap", "--sectors", "s.geojson")
    assert (refused.code, "s.geojson" in refused.error) == (BAD_CALL, True)
    assert not Path("flight.mcap").exists()


def test_a_record_that_was_cut_is_read_as_far_as_it_goes(call: Call, filled: Path, tmp_path: Path) -> None:
    (segment,) = (tmp_path / "aerotile-data/record").glob("*.jsonl")
    segment.write_bytes(segment.read_bytes()[:-10])
    result = call("record", "--json")
    assert result.code == 0
    assert len(result.json_lines) == 3
    assert result.err.startswith("warning: 1 damaged line skipped, the first in ")


def test_a_record_that_is_not_there_says_so(call: Call) -> None:
    result = call("record")
    assert result.code == 2
    assert result.error.startswith("no flight record in ")


def test_a_lookup_of_another_schema_is_named_in_one_line(call: Call, filled: Path, tmp_path: Path) -> None:
    segment = next((tmp_path / "aerotile-data/record").glob("*.jsonl"))
    newer = decode_line(segment.read_bytes().splitlines()[0]).envelope
    lookup = attrs.evolve(newer, kind="c6.lookup", payload={"lookup": "a-1", "sequence": 1, "near": "newer"})
    fix = attrs.evolve(newer, kind="c6.fix", payload={"lookup": ["a-1"]})
    segment.chmod(0o600)
    with segment.open("ab") as file:
        file.write(encode_line(lookup) + encode_line(fix))
    refused = call("record", "--lookup", "1")
    assert (refused.code, "lookup a-1 is of a schema" in refused.error) == (BAD_CALL, True)
    (facts,) = call("record", "--lookup", "1", "--json").json
    assert (facts["near"], facts["fixes"]) == ("newer", [])
