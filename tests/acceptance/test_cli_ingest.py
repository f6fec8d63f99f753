from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_calls import Call

from aerotile.domain.values.disk_usage import footprint

DaysAgo = Callable[[int], str]
MakeFolder = Callable[..., Path]


def test_tiles_go_in_with_their_bytes_their_hash_and_their_facts(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, tmp_path: Path
) -> None:
    folder = xyz_folder(count=1)
    result = call("ingest", "tiles", "--captured-at", days_ago(3), "--source", "satellite_provider")
    assert result.code == 0
    pixels = (folder / "7/60/0.jpg").read_bytes()
    stored = tmp_path / "aerotile-data/tiles/satellite_provider/7/60/0.jpg"
    assert stored.read_bytes() == pixels
    (row,) = call("dump").json_lines
    assert row["tile"] == "satellite_provider/7/60/0"
    assert row["content_sha256"] == hashlib.sha256(pixels).hexdigest()
    assert row["disk_bytes"] == len(pixels)
    assert row["captured_at"] == f"{days_ago(3)}T00:00:00+00:00"
    # 156543.03 m/px at zoom 0 on the equator, halved 7 times, times cos(84.9 degrees) at the tile's centre.
    assert row["ground_sample_distance"] == pytest.approx(108.0, rel=0.01)


def test_an_ingest_that_is_run_again_finds_its_tiles_present(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder()
    first = call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json
    assert (first["stored"], first["present"], first["refused"]) == (4, 0, 0)
    (folder / "7/60/4.jpg").write_bytes((folder / "7/60/0.jpg").read_bytes())
    again = call("ingest", "tiles", "--captured-at", days_ago(1), "--json")
    assert again.code == 0
    assert (again.json["stored"], again.json["present"], again.json["refused"]) == (1, 4, 0)


def test_a_stored_tile_with_other_content_is_refused_and_stays(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, jpeg: Callable[..., bytes], tmp_path: Path
) -> None:
    folder = xyz_folder(count=1)
    before = (folder / "7/60/0.jpg").read_bytes()
    call("ingest", "tiles", "--captured-at", days_ago(1))
    (folder / "7/60/0.jpg").write_bytes(jpeg(99))
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == 1
    assert "the store already holds this tile with other content" in result.err
    assert (tmp_path / "aerotile-data/tiles/imported/7/60/0.jpg").read_bytes() == before


def test_a_tile_whose_row_is_there_and_whose_file_is_gone_is_refused_with_the_way_out(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, tmp_path: Path
) -> None:
    xyz_folder(count=2)
    call("ingest", "tiles", "--captured-at", days_ago(1))
    (tmp_path / "aerotile-data/tiles/imported/7/60/0.jpg").unlink()
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == 1
    assert "1 already present, 1 refused" in result.out
    assert "tiles/7/60/0.jpg: its row is there, its file is missing" in result.err
    assert " — aerotile delete imported/7/60/0, then ingest again; the others are in the store" in result.err


def test_a_tile_that_another_writer_stored_meanwhile_counts_as_present_only_with_the_same_content(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, jpeg: Callable[..., bytes]
) -> None:
    # Both names mean the same tile, so that the second is a duplicate that was not there when it was read.
    folder = xyz_folder(count=2)
    (folder / "7/60/0.jpeg").write_bytes((folder / "7/60/0.jpg").read_bytes())
    (folder / "7/60/1.jpeg").write_bytes(jpeg(99))
    facts = call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json
    assert (facts["stored"], facts["present"], facts["refused"]) == (2, 1, 1)
    assert facts["refusals"][0]["message"] == "the store already holds this tile with other content"


def test_bad_tiles_are_named_and_the_others_go_in(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=5)
    (folder / "7/60/1.jpg").write_bytes(b"")
    (folder / "7/60/3.jpg").write_bytes(b"no jpeg")
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == 1
    lines = result.err.splitlines()
    assert [line.split(": ")[:2] for line in lines[:2]] == [
        ["refused", "tiles/7/60/1.jpg"],
        ["refused", "tiles/7/60/3.jpg"],
    ]
    assert lines[2].startswith("error: 2 of 5 tiles were refused — ")
    assert [row["y"] for row in sorted(call("dump").json_lines, key=lambda row: row["y"])] == [0, 2, 4]


def test_every_refusal_is_in_the_json(call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo) -> None:
    folder = xyz_folder(count=30)
    for y in range(25):
        (folder / f"7/60/{y}.jpg").write_bytes(b"no jpeg")
    result = call("ingest", "tiles", "--captured-at", days_ago(1), "--json")
    assert len(result.json["refusals"]) == result.json["refused"] == 25
    assert result.json["refusals"][0] == {
        "file": "tiles/7/60/0.jpg",
        "tile": "imported/7/60/0",
        "error": "ValueError",
        "message": "not a JPEG: its start or end marker is missing",
        "remedy": None,
    }


def test_only_the_chosen_zooms_go_in(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, jpeg: Callable[..., bytes]
) -> None:
    folder = xyz_folder(zoom=7, count=2)
    (folder / "8/60").mkdir(parents=True)
    (folder / "8/60/0.jpg").write_bytes(jpeg())
    facts = call("ingest", "tiles", "--captured-at", days_ago(1), "--zoom", "8", "--json").json
    assert (facts["found"], facts["stored"]) == (1, 1)
    assert [row["zoom_level"] for row in call("dump").json_lines] == [8]


def test_what_is_no_tile_is_passed_over_and_counted(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=1)
    (folder / "README").touch()
    (folder / "metadata.json").touch()
    (folder / "7/60/0.png").touch()
    (folder / "7/60/07.jpg").touch()
    (folder / "7/060").mkdir()
    facts = call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json
    assert (facts["found"], facts["stored"], facts["ignored_files"]) == (1, 1, 2)


def test_a_right_sidecar_is_accepted(call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo) -> None:
    folder = xyz_folder(count=1)
    digest = hashlib.sha256((folder / "7/60/0.jpg").read_bytes()).hexdigest()
    (folder / "7/60/0.jpg.sha256").write_text(f"{digest}  0.jpg\n")
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).code == 0


def test_a_sidecar_that_is_none_refuses_its_tile(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=1)
    (folder / "7/60/0.jpg.sha256").write_text("md5: 123\n")
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == 1
    assert "0.jpg.sha256 is not one line as sha256sum writes it" in result.err


def test_a_wrong_sidecar_beside_a_present_tile_is_still_refused(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=1)
    call("ingest", "tiles", "--captured-at", days_ago(1))
    (folder / "7/60/0.jpg.sha256").write_text(f"{'0' * 64}  0.jpg\n")
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == 1
    assert "expected 000" in result.err


def test_the_capture_time_is_converted_to_utc(call: Call, xyz_folder: MakeFolder) -> None:
    xyz_folder(count=1)
    call("ingest", "tiles", "--captured-at", "2024-05-01T01:30:00+02:00")
    (row,) = call("dump").json_lines
    assert row["captured_at"] == "2024-04-30T23:30:00+00:00"


def test_old_tiles_outside_every_sector_are_stored_as_downgraded(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    xyz_folder()
    facts = call("ingest", "tiles", "--captured-at", days_ago(400), "--json").json
    assert (facts["stored"], facts["downgraded"]) == (4, 4)
    assert {row["freshness_label"] for row in call("dump").json_lines} == {"downgraded"}


def test_a_batch_size_changes_nothing_but_the_batches(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    xyz_folder(count=7)
    facts = call("ingest", "tiles", "--captured-at", days_ago(1), "--batch-size", "3", "--json").json
    assert facts["stored"] == 7


def test_an_ingest_beyond_the_budget_warns_and_stays_within_it(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, tmp_path: Path
) -> None:
    folder = xyz_folder(count=6)
    size = max(path.stat().st_size for path in folder.rglob("*.jpg"))
    budget = str(3 * footprint(size))
    result = call(
        "ingest", "tiles", "--captured-at", days_ago(1), "--batch-size=1", AEROTILE_BUDGET_MAX_BYTES=budget
    )
    assert result.code == 1
    assert result.err.startswith("warning: new tiles need ")
    assert "evicted: imported/7/60/0\n" in result.err
    assert " tiles were evicted to make room — raise budget.max_bytes" in result.err
    assert " tiles evicted to make room, " in result.out
    kept = list((tmp_path / "aerotile-data/tiles").rglob("*.jpg"))
    assert len(kept) == 3


def test_an_ingest_of_the_same_bytes_under_another_date_is_refused_by_name(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    xyz_folder(count=2)
    call("ingest", "tiles", "--captured-at", days_ago(1))
    result = call("ingest", "tiles", "--captured-at", days_ago(9), "--json")
    assert result.code == 1
    assert (result.json["present"], result.json["refused"]) == (0, 2)
    assert f"captured at {days_ago(1)}T00:00:00+00:00" in result.json["refusals"][0]["message"]
    assert result.json["refusals"][0]["remedy"].startswith("correct the date, or put the stored one right")


def test_an_ingest_that_evicts_is_no_success_and_says_how_many_and_which(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=6)
    size = max(path.stat().st_size for path in folder.rglob("*.jpg"))
    arguments = ("ingest", "tiles", "--captured-at", days_ago(1), "--batch-size=1", "--json")
    result = call(*arguments, AEROTILE_BUDGET_MAX_BYTES=str(3 * footprint(size)))
    assert result.code == 1
    evicted = result.json["evicted"]
    assert evicted["count"] == len(evicted["tiles"]) == 6 - call("status", "--json").json["tiles"]["count"]
    assert evicted["tiles"][0] == "imported/7/60/0"
    assert evicted["freed_bytes"] > 0
    again = call(*arguments)
    assert (again.code, again.json["evicted"]) == (0, {"count": 0, "freed_bytes": 0, "tiles": []})


def test_small_tiles_count_with_their_blocks_and_inodes(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=4)
    lengths = [path.stat().st_size for path in folder.rglob("*.jpg")]
    budget = {"AEROTILE_BUDGET_MAX_BYTES": str(2 * sum(lengths))}
    assert max(lengths) < 4096
    assert call("ingest", "tiles", "--captured-at", days_ago(1), **budget).code == 1
    call("ingest", "tiles", "--captured-at", days_ago(1))
    tiles = call("status", "--json", **budget).json["tiles"]
    taken = 4 * (4096 + 4096 + 512)
    assert (tiles["disk_bytes"], tiles["footprint_bytes"]) == (sum(lengths), taken)
    assert tiles["over_budget_bytes"] == taken - 2 * sum(lengths)


def test_a_store_over_its_budget_says_so_and_evicts_nothing_for_it(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    xyz_folder(count=3)
    call("ingest", "tiles", "--captured-at", days_ago(1))
    xyz_folder(name="more", x=61, count=1)
    result = call("ingest", "more", "--captured-at", days_ago(1), AEROTILE_BUDGET_MAX_BYTES="20000")
    assert result.code == 1
    assert (
        "the store takes 6112 bytes more than its budget of 20000; no tile is evicted for that" in result.err
    )
    assert call("status", "--json").json["tiles"]["count"] == 3


def test_nothing_is_drawn_where_there_is_no_terminal(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    xyz_folder()
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).err == ""
