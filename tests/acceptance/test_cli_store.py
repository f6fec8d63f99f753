"""What an operator asks of a filled store: status, dump, verify, record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_calls import BAD_CALL, Call


@pytest.fixture
def filled(
    call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str], tmp_path: Path
) -> Path:
    """The folder of the stored tiles imported/7/60/0 to 3."""
    xyz_folder()
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).code == 0
    return tmp_path / "aerotile-data/tiles/imported/7/60"


def replace(path: Path, content: bytes) -> None:
    """Put other content in place of a file that is read-only on purpose."""
    path.unlink()
    path.write_bytes(content)


def test_status_counts_what_is_there(call: Call, filled: Path) -> None:
    result = call("status", "--json")
    assert result.code == 0
    tiles = result.json["tiles"]
    assert tiles["count"] == 4
    assert tiles["by_source"] == {"imported": 4}
    assert tiles["by_zoom"] == {"7": 4}
    assert tiles["disk_bytes"] == sum(path.stat().st_size for path in filled.glob("*.jpg"))
    assert result.json["index"] == {"generation": None}
    assert result.json["record"]["files"] == 1


def test_status_shows_settings_with_their_origin_and_no_password(call: Call, migrated_database: str) -> None:
    from psycopg.conninfo import conninfo_to_dict

    password = str(conninfo_to_dict(migrated_database)["password"])
    facts = call("status", "--json", AEROTILE_INDEX_M="48")
    assert facts.json["configuration"]["index.m"] == 48
    assert facts.json["configuration_origins"]["index.m"] == "variable AEROTILE_INDEX_M"
    assert facts.json["configuration_origins"]["index.ef_search"] == "default"
    assert "***" in facts.json["configuration"]["database.dsn"]
    assert password not in facts.out + call("status", "-vv").out


def test_status_says_whether_the_clock_is_trusted(call: Call, filled: Path, migrated_database: str) -> None:
    import psycopg

    clock = call("status", "--json").json["clock"]
    assert (clock["trusted"], clock["why_not"]) == (True, None)
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute("UPDATE tiles SET accessed_at = now() + interval '6 hours'")
    result = call("status")
    assert result.code == 0
    trusted, why_not = (line.split(maxsplit=1)[1] for line in result.out.splitlines()[2:4])
    assert trusted == "no"
    assert why_not.startswith("the clock says ")
    assert why_not.endswith(" already")


def test_status_with_a_part_that_fails_shows_the_others(call: Call, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "aerotile-data/index").mkdir()
    (tmp_path / "aerotile-data/index/current").write_text("nonsense")
    result = call("status", "--json")
    assert result.code == 1
    assert result.json["tiles"]["count"] == 4
    assert "nonsense" in result.json["index"]["error"]
    assert result.err.startswith("error: index: ")


def test_dump_as_csv_has_the_same_facts(call: Call, filled: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(call("dump", "--csv").out)))
    lines = call("dump", "--json").json_lines
    assert [row["tile"] for row in rows] == [line["tile"] for line in lines]
    assert list(rows[0]) == list(lines[0])


def test_dump_by_box_gives_the_tiles_that_touch_it(call: Call, filled: Path) -> None:
    # Rows 0 and 1 of zoom 7 meet at 84.9 degrees north, rows 1 and 2 at 84.7.
    rows = call("dump", "--bbox=-11,84.75,-9,84.8").json_lines
    assert [row["y"] for row in rows] == [1]
    assert call("dump", "--bbox=-11,84.75,-9,84.8", "--zoom", "6").out == ""
    assert len(call("dump", "--bbox=-180,-85,180,85.05", "--zoom", "7").json_lines) == 4


def test_verify_of_a_whole_store_finds_nothing(call: Call, filled: Path) -> None:
    result = call("verify", "--json")
    assert result.code == 0
    assert result.json == {
        "tiles": 4,
        "findings": [],
        "fetch_again": [],
        "index": [],
        "index_agreement": None,
    }


def test_verify_finds_each_kind_of_damage_and_mends_only_what_it_is_sure_of(call: Call, filled: Path) -> None:
    (filled / "0.jpg").unlink()
    replace(filled / "1.jpg", (filled / "2.jpg").read_bytes())
    (filled / "2.jpg.sha256").unlink()
    replace(filled / "3.jpg.sha256", b"0" * 64 + b"  3.jpg\n")
    (filled / "9.jpg").write_bytes((filled / "2.jpg").read_bytes())
    before = sorted(filled.iterdir())
    result = call("verify", "--json")
    assert result.code == 1
    found = {(finding["kind"], finding["tile"]) for finding in result.json["findings"]}
    assert found == {
        ("file_missing", "imported/7/60/0"),
        ("content_damaged", "imported/7/60/1"),
        ("sidecar_missing", "imported/7/60/2"),
        ("sidecar_wrong", "imported/7/60/3"),
        ("orphan_file", "imported/7/60/9"),
    } | ({("orphan_sidecar", "imported/7/60/0")} & found)
    assert all(finding["remedy"] for finding in result.json["findings"])
    mended = {finding["kind"] for finding in result.json["findings"] if finding["mended"]}
    assert mended == {"sidecar_missing", "sidecar_wrong"}
    assert set(filled.iterdir()) == {*before, filled / "2.jpg.sha256"}


def test_verify_that_has_mended_everything_succeeds(call: Call, filled: Path) -> None:
    (filled / "2.jpg.sha256").unlink()
    result = call("verify")
    assert result.code == 0
    assert "1 x sidecar_missing: nothing: it was restored" in result.out
    assert call("verify", "--json").json["findings"] == []


def test_verify_reconciles_only_when_it_is_told_to(call: Call, filled: Path) -> None:
    (filled / "9.jpg").write_bytes((filled / "2.jpg").read_bytes())
    (kept,) = call("verify", "--json").json["findings"]
    assert (kept["kind"], kept["mended"]) == ("orphan_file", False)
    assert "aerotile verify --reconcile" in kept["remedy"]
    told = call("verify", "--reconcile", "--json")
    assert told.code == 0
    assert told.json["reconciled"]["orphans_removed"] == 1
    assert told.json["findings"] == []
    assert not (filled / "9.jpg").exists()


def test_verify_says_what_it_reconciled(call: Call, filled: Path) -> None:
    (filled / "9.jpg").write_bytes((filled / "2.jpg").read_bytes())
    result = call("verify", "--reconcile")
    assert result.code == 0
    assert result.out.startswith("1 files without a row and 0 temporary files removed, 0 sidecars restored\n")


def test_status_with_a_record_that_can_not_be_read_shows_the_others(
    call: Call, filled: Path, tmp_path: Path
) -> None:
    endless = tmp_path / "aerotile-data/record/endless"
    endless.symlink_to(endless)
    result = call("status", "--json")
    assert result.code == 1
    assert result.json["tiles"]["count"] == 4
    assert str(endless) in result.json["record"]["error"]
    assert result.err.startswith("error: record: ")


def test_status_shows_an_index_that_is_switched_off_as_no_failure(call: Call, filled: Path) -> None:
    result = call("status", "--json", BUILD_FAISS_INDEX="0")
    assert result.code == 0
    assert "BUILD_FAISS_INDEX=0" in result.json["index"]["switched_off"]


def test_delete_removes_nothing_when_one_of_the_tiles_is_absent(call: Call, filled: Path) -> None:
    result = call("delete", "imported/7/60/0", "imported/7/60/9")
    assert result.code == 1
    assert result.error == "no tile imported/7/60/9 in the store — leave it out; nothing was deleted"
    assert call("status", "--json").json["tiles"]["count"] == 4
    assert (filled / "0.jpg").is_file()


def test_a_capture_date_is_put_right_and_judged_anew(
    call: Call, filled: Path, days_ago: Callable[[int], str]
) -> None:
    (amended,) = call("amend", "--captured-at", days_ago(400), "imported/7/60/1", "--json").json
    assert (amended["decision"], amended["freshness_label"]) == ("downgrade", "downgraded")
    assert amended["captured_at"] == f"{days_ago(400)}T00:00:00+00:00"
    rows = {row["tile"]: row for row in call("dump").json_lines}
    assert rows["imported/7/60/1"]["captured_at"] == amended["captured_at"]
    assert rows["imported/7/60/0"]["captured_at"] == amended["captured_at_before"]
    assert "c6.amended" in call("record").out
    assert call("verify").code == 0


def test_an_amended_date_that_a_sector_refuses_is_stored_and_no_success(
    call: Call, filled: Path, days_ago: Callable[[int], str]
) -> None:
    strict = {"AEROTILE_FRESHNESS_DEFAULT_CLASSIFICATION": "active_conflict"}
    result = call("amend", "--captured-at", days_ago(400), "imported/7/60/1", **strict)
    assert result.code == 1
    assert "1 of 1 tiles are too old for their sector by the new date, such as imported/7/60/1" in result.err
    row = {row["tile"]: row for row in call("dump").json_lines}["imported/7/60/1"]
    assert row["captured_at"] == f"{days_ago(400)}T00:00:00+00:00"


def test_no_date_is_changed_when_a_tile_is_absent_or_the_date_lies_ahead(
    call: Call, filled: Path, days_ago: Callable[[int], str]
) -> None:
    before = call("dump").out
    absent = call("amend", "--captured-at", days_ago(2), "imported/7/60/0", "imported/7/60/9")
    assert absent.code == 1
    assert absent.error == "no tile imported/7/60/9 in the store — leave it out; no tile was changed"
    ahead = call("amend", "--captured-at", days_ago(-3), "imported/7/60/0")
    assert ahead.code == 2
    assert "is in the future" in ahead.error
    assert call("dump").out == before


def test_pins_are_set_listed_and_lifted(call: Call, filled: Path) -> None:
    assert call("pin", "--list", "--json").json == {"pinned": []}
    assert call("pin", "imported/7/60/1", "imported/7/60/0").out == "2 tiles pinned\n"
    listed = call("pin", "--list")
    assert listed.out == "imported/7/60/0\nimported/7/60/1\n2 tiles pinned\n"
    assert call("status", "--json").json["tiles"]["pinned"] == 2
    assert call("pin", "imported/7/60/1").out == "imported/7/60/1 was pinned already\n0 tiles pinned\n"
    lifted = {"lifted": ["imported/7/60/0"], "unchanged": []}
    assert call("pin", "--lift", "imported/7/60/0", "--json").json == lifted
    again = {"lifted": [], "unchanged": ["imported/7/60/0"]}
    assert call("pin", "--lift", "imported/7/60/0", "--json").json == again
    assert call("pin", "--list", "--json").json == {"pinned": ["imported/7/60/1"]}


def test_no_pin_is_changed_when_one_of_the_tiles_is_absent(call: Call, filled: Path) -> None:
    result = call("pin", "imported/7/60/0", "imported/7/60/9")
    assert result.code == 1
    assert result.error == "no tile imported/7/60/9 in the store — leave it out; no pin was changed"
    assert call("pin", "--list", "--json").json == {"pinned": []}


@pytest.mark.parametrize("arguments", [(), ("--lift",), ("--list", "imported/7/60/0"), ("--list", "--lift")])
def test_a_call_of_pin_that_says_too_little_or_too_much_is_refused(
    call: Call, filled: Path, arguments: tuple[str, ...]
) -> None:
    result = call("pin", *arguments)
    assert result.code == 2
    assert "name the tiles, or give --list alone" in result.error


def test_delete_of_a_tile_that_is_named_twice_removes_it(call: Call, filled: Path) -> None:
    facts = call("delete", "imported/7/60/0", "imported/7/60/0", "--json").json
    assert facts["deleted"] == ["imported/7/60/0"]


def test_a_tile_whose_file_is_gone_can_be_deleted_and_ingested_again(
    call: Call, filled: Path, days_ago: Callable[[int], str]
) -> None:
    (filled / "0.jpg").unlink()
    assert call("delete", "imported/7/60/0").code == 0
    assert call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json["stored"] == 1
    assert call("verify", "--json").json["findings"] == []


def test_repair_quarantines_what_is_damaged_and_lists_what_to_fetch_again(
    call: Call, filled: Path, days_ago: Callable[[int], str], tmp_path: Path
) -> None:
    damaged = (filled / "2.jpg").read_bytes()
    (filled / "0.jpg").unlink()
    replace(filled / "1.jpg", damaged)
    result = call("verify", "--repair", "--json")
    assert result.code == 3
    lost = ["imported/7/60/0", "imported/7/60/1"]
    assert result.json["fetch_again"] == lost
    kept_at = {finding["tile"]: finding["kept_at"] for finding in result.json["findings"]}
    assert kept_at[lost[0]] is None
    assert (tmp_path / "aerotile-data/tiles" / kept_at[lost[1]]).read_bytes() == damaged
    assert call("verify", "--json").json["findings"] == []
    kinds = [event["kind"] for event in call("record", "--json").json_lines]
    assert kinds.count("c6.quarantined") == 2
    assert call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json["stored"] == 2
    assert call("verify").code == 0
    told = call("verify", "--repair")
    assert told.code == 0


def test_what_was_quarantined_before_stays_beside_what_is_quarantined_now(
    call: Call, filled: Path, days_ago: Callable[[int], str], tmp_path: Path
) -> None:
    for content in (b"first", b"second"):
        replace(filled / "1.jpg", content)
        assert call("verify", "--repair").code == 3
        call("ingest", "tiles", "--captured-at", days_ago(1))
    kept = sorted((tmp_path / "aerotile-data/tiles/.quarantine/imported/7/60").glob("1.jpg*"))
    assert [file.read_bytes() for file in kept if "sha256" not in file.name] == [b"first", b"second"]
    assert sum("sha256" in file.name for file in kept) == 2


def test_a_repair_tells_a_person_which_tiles_to_fetch(call: Call, filled: Path) -> None:
    (filled / "0.jpg").unlink()
    result = call("verify", "--repair")
    assert result.code == 3
    assert "fetch again: imported/7/60/0" in result.out
    assert "error: " not in result.err


def test_an_interrupted_check_is_taken_up_again(call: Call, filled: Path, tmp_path: Path) -> None:
    assert call("verify", "--resume").code == 2
    (filled / "0.jpg").unlink()
    replace(filled / "3.jpg", b"damaged")
    interrupted = tmp_path / "aerotile-data/verify-progress.json"
    findings = call("verify", "--json").json["findings"]
    assert not interrupted.exists()
    store_id = (tmp_path / "aerotile-data/tiles/.aerotile-store").read_text().split()[-1]
    interrupted.write_text(
        json.dumps({"store_id": store_id, "place": (7 << 44) + (1 << 43), "findings": findings[:1]})
    )
    resumed = call("verify", "--resume", "--json")
    assert resumed.json["findings"] == findings[:1]
    assert not interrupted.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"store_id": "x"}', '{"store_id": 3, "place": -1}'])
def test_progress_that_no_check_left_is_refused(
    call: Call, filled: Path, content: str, tmp_path: Path
) -> None:
    (tmp_path / "aerotile-data/verify-progress.json").write_text(content)
    result = call("verify", "--resume")
    assert result.code == 2
    assert "run aerotile verify without --resume" in result.error


@pytest.mark.parametrize("rate", ["0", "fast", "-1"])
def test_a_rate_that_is_none_is_refused(call: Call, filled: Path, rate: str) -> None:
    assert call("verify", f"--max-rate={rate}").code == 2


def test_verify_tells_a_person_what_to_do(call: Call, filled: Path) -> None:
    (filled / "0.jpg").unlink()
    result = call("verify")
    assert result.code == 1
    assert "1 x file_missing: " in result.out
    assert result.err.startswith("error: 1 findings in 4 tiles")


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
    assert call("record", "--since", days_ago(-1)).out == ""
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
    assert result.err.startswith("warning: 1 damaged lines skipped, the first in ")


def test_a_record_that_is_not_there_says_so(call: Call) -> None:
    result = call("record")
    assert result.code == 2
    assert result.error.startswith("no flight record in ")


def test_migrate_says_what_it_did(call: Call, empty_database: str) -> None:
    first = call("migrate", "--json", AEROTILE_DATABASE_DSN=empty_database).json
    assert first["revision_before"] is None
    assert first["applied"][-1] == first["revision"]
    again = call("migrate", AEROTILE_DATABASE_DSN=empty_database)
    assert again.out == f"nothing to do; the database is at revision {first['revision']}\n"
