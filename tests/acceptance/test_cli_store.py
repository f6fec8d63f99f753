"""What an operator asks of a filled store: status, dump, delete, amend, pin, migrate."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_calls import Call


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


@pytest.mark.parametrize("is_there", [True, False], ids=["empty", "missing"])
def test_status_of_tiles_whose_disk_is_not_mounted_shows_the_rows_and_fails(
    call: Call, filled: Path, tmp_path: Path, is_there: bool
) -> None:
    tiles = tmp_path / "aerotile-data/tiles"
    tiles.rename(tmp_path / "unmounted")
    if is_there:
        tiles.mkdir()
    result = call("status", "--json")
    assert result.code == 1
    assert result.json["tiles"]["count"] == 4
    assert "may not be mounted" in result.json["tiles"]["error"]
    assert result.err.startswith(f"error: tiles: {tiles} is empty, and ")
    shown = call("status")
    assert shown.code == 1
    assert "may not be mounted" in shown.out
    assert "by_zoom" in shown.out


def test_dump_as_csv_has_the_same_facts(call: Call, filled: Path) -> None:
    assert "--json and --csv exclude each other" in call("dump", "--csv", "--json").error
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


def test_migrate_says_what_it_did(call: Call, empty_database: str) -> None:
    first = call("migrate", "--json", AEROTILE_DATABASE_DSN=empty_database).json
    assert first["revision_before"] is None
    assert first["applied"][-1] == first["revision"]
    again = call("migrate", AEROTILE_DATABASE_DSN=empty_database)
    assert again.out == f"nothing to do; the database is at revision {first['revision']}\n"
