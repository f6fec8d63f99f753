from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_calls import Call

from aerotile.adapters.cli.errors import INTERRUPTED, JobFailedError

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
    assert "tile imported/7/60/0 is already in the store with other content" in result.err
    assert "--replace puts it in the other's place" in result.err
    assert (tmp_path / "aerotile-data/tiles/imported/7/60/0.jpg").read_bytes() == before


def test_newer_imagery_replaces_older_where_it_is_asked_for_and_older_is_refused_by_name(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, jpeg: Callable[..., bytes], tmp_path: Path
) -> None:
    folder = xyz_folder(count=3)
    tiles = tmp_path / "aerotile-data/tiles/imported/7/60"
    call("ingest", "tiles", "--captured-at", days_ago(20))
    for number in (0, 1):
        (folder / f"7/60/{number}.jpg").write_bytes(jpeg(90 + number))
    (folder / "7/60/2.jpg").rename(folder / "7/60/9.jpg")
    newer = call("ingest", "tiles", "--captured-at", days_ago(10), "--replace")
    assert newer.code == 0
    assert "3 tiles found: 1 stored, 2 replaced (0 of them downgraded), 0 already present" in newer.out
    assert "describe the 2 replaced tiles anew, and run aerotile index build" in newer.out
    assert (tiles / "0.jpg").read_bytes() == jpeg(90)
    assert list(tiles.glob(".*")) == []
    assert {row["captured_at"][:10] for row in call("dump", "--json").json_lines} == {
        days_ago(20),
        days_ago(10),
    }
    (folder / "7/60/0.jpg").write_bytes(jpeg(99))
    older = call("ingest", "tiles", "--captured-at", days_ago(15), "--replace", "--json")
    assert older.code == 1
    assert (older.json["replaced"], older.json["stored"], older.json["refused"]) == (0, 0, 3)
    refusals = {refusal["tile"]: refusal for refusal in older.json["refusals"]}
    refused = refusals["imported/7/60/0"]
    assert refused["error"] == "NotNewerError"
    assert days_ago(15) in refused["message"]
    assert days_ago(10) in refused["message"]
    assert refusals["imported/7/60/1"]["error"] == "CaptureTimeConflictError"
    assert (tiles / "0.jpg").read_bytes() == jpeg(90)
    assert "c6.replaced" in call("record").out
    assert call("verify").code == 0


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
    assert (
        " — aerotile delete imported/7/60/0, then ingest again; 1 other was stored or is present"
        in result.err
    )


def test_twins_of_a_tile_are_refused_by_name_and_the_others_go_in(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, jpeg: Callable[..., bytes]
) -> None:
    folder = xyz_folder(count=3)
    (folder / "7/60/1.jpeg").write_bytes(jpeg(99))
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == 1
    assert "4 tiles found: 2 stored" in result.out
    assert "refused: tiles/7/60/1.jpeg: the tile is there 2 times: 1.jpeg, 1.jpg" in result.err
    assert "refused: tiles/7/60/1.jpg: the tile is there 2 times: 1.jpeg, 1.jpg" in result.err
    facts = call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json
    assert (facts["found"], facts["present"], facts["refused"], facts["left"]) == (4, 2, 2, 0)
    assert {refusal["tile"] for refusal in facts["refusals"]} == {"imported/7/60/1"}


def test_ctrl_c_ends_an_ingest_with_its_counts(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = xyz_folder(count=9)
    (folder / "7/60/0.jpg").write_text("no picture")

    @contextmanager
    def interrupting(what: str, total: int) -> Iterator[Callable[[int, int], None]]:
        def advance(done: int, total: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

        yield advance

    with monkeypatch.context() as patch:
        patch.setattr("aerotile.adapters.cli.commands.ingest.progress_bar", interrupting)
        ended = call("ingest", "tiles", "--captured-at", days_ago(1), "--batch-size", 1, "--json")
    assert ended.code == INTERRUPTED
    assert [ended.json[what] for what in ("stored", "refused", "left", "stopped_by")] == [
        1,
        1,
        7,
        "interrupted",
    ]
    assert ended.err.startswith("1 stored (0 of them downgraded), 0 already present, 1 refused, beside the ")
    assert ended.err.endswith("goes on from there\ninterrupted\n")
    again = call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json
    assert (again["refused"], again["stored"] + again["present"]) == (1, 8)
    assert len(call("dump").json_lines) == 8


def test_links_that_lead_nowhere_are_refused_by_name_and_the_others_go_in(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=2)
    (folder / "7/60/7.jpg").symlink_to("nowhere.jpg")
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == 1
    assert "2 stored" in result.out
    assert "1 of 3 tiles was refused: tiles/7/60/7.jpg: is a broken link to nowhere.jpg" in result.err


def test_pictures_of_other_kinds_are_named_by_kind_and_number(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    folder = xyz_folder(count=1)
    for number in range(3):
        (folder / f"7/60/{10 + number}.png").write_bytes(b"\x89PNG")
        (folder / f"7/60/{20 + number}.webp").write_bytes(b"RIFF")
    result = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert result.code == 1
    assert "3 PNG, 3 WebP left out\n" in result.out
    assert result.err.startswith("error: 3 PNG, 3 WebP left out — convert them to JPEG and run again")
    facts = call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json
    assert (facts["present"], facts["left_out"]) == (1, {"PNG": 3, "WebP": 3})
    (folder / "7/60/0.jpg").unlink()
    nothing = call("ingest", "tiles", "--captured-at", days_ago(1))
    assert nothing.code == 2
    assert nothing.error.startswith("tiles holds no JPEG tiles, but 3 PNG, 3 WebP — ")


def test_a_tree_in_tms_order_lies_where_its_note_says_and_the_ground_is_shown(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, tmp_path: Path
) -> None:
    folder = xyz_folder(zoom=14, x=9030, count=0)
    (folder / "14/9030/6549.jpg").write_bytes((xyz_folder("other", count=1) / "7/60/0.jpg").read_bytes())
    (folder / "tilemapresource.xml").write_text(
        '<TileMap><SRS>EPSG:900913</SRS><TileSets profile="mercator"/></TileMap>'
    )
    refused = call("ingest", "tiles", "--captured-at", days_ago(1), "--scheme", "xyz")
    assert (refused.code, "in tms order, --scheme says xyz" in refused.error) == (2, True)
    result = call("ingest", "tiles", "--captured-at", days_ago(1), "--map", "covered.png")
    assert result.code == 0
    ground = "  zoom 14: 33.9251 S to 33.9069 S, 18.4131 E to 18.4351 E (1 tile)\n"
    assert "; read in tms order\n" in result.out
    assert f"ground covered:\n{ground}" in result.out
    assert (tmp_path / "covered.png").read_bytes().startswith(b"\x89PNG")
    (row,) = call("dump").json_lines
    assert row["tile"] == "imported/14/9030/9834"
    status = call("status", "--map", "status.png")
    assert f"ground covered:\n{ground}" in status.out
    assert (tmp_path / "status.png").read_bytes() == (tmp_path / "covered.png").read_bytes()
    facts = call("ingest", "tiles", "--captured-at", days_ago(1), "--json").json
    assert facts["scheme"] == "tms"
    assert facts["coverage"] == call("status", "--json").json["tiles"]["coverage"]
    (one,) = facts["coverage"]
    assert (one["zoom"], one["tiles"]) == (14, 1)
    assert one["boxes"] == [pytest.approx([18.4131, -33.9251, 18.4351, -33.9069], abs=1e-4)]


def test_a_map_that_can_not_be_written_is_refused_before_a_tile_is_read(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    xyz_folder()
    result = call("ingest", "tiles", "--captured-at", days_ago(1), "--map", "nowhere/map.png")
    assert (result.code, "nowhere/map.png can't be written" in result.error) == (2, True)
    assert call("dump").out == ""


def test_a_map_that_fails_at_the_end_hides_no_refusal(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = xyz_folder(count=2)
    (folder / "7/60/1.jpg").write_bytes(b"")

    def full(*_: object) -> None:
        raise JobFailedError("map.png can't be written: no space left")

    monkeypatch.setattr("aerotile.adapters.cli.coverage_map.write_map", full)
    result = call("ingest", "tiles", "--captured-at", days_ago(1), "--map", "map.png")
    assert result.code == 1
    assert "1 stored" in result.out
    assert result.err.splitlines()[0].startswith("refused: tiles/7/60/1.jpg: tile imported/7/60/1 is empty")
    assert result.err.splitlines()[1] == "error: map.png can't be written: no space left"
    status = call("status", "--map", "map.png")
    assert (status.code, "ground covered:" in status.out) == (1, True)


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
        "error": "TileMetadataError",
        "message": "tile imported/7/60/0 is no JPEG: it does not begin with the marker of one",
        "remedy": "store JPEG tiles",
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
    (folder / "7/60/0.kml").touch()
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


def test_nothing_is_drawn_where_there_is_no_terminal(
    call: Call, xyz_folder: MakeFolder, days_ago: DaysAgo
) -> None:
    xyz_folder()
    assert call("ingest", "tiles", "--captured-at", days_ago(1)).err == ""
