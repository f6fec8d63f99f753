"""`aerotile provision`: archives of other programs go in, and what is wrong with one is said in one line."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simplejpeg
from archives import (
    Place,
    picture,
    write_by_gdal,
    write_folder,
    write_mbtiles,
    write_pmtiles,
)
from cli_calls import BAD_CALL, JOB_FAILED, Call
from pmtiles.tile import TileType
from waiting import until

from aerotile.domain.intake.provision import provision_tiles

DATE = ("--captured-at", "2026-05-01")
FOUR: dict[Place, bytes] = {(12, 2177 + x, 1420 + y): picture(10 * x + y) for x in (0, 1) for y in (0, 1)}


def stored(tmp_path: Path, place: Place) -> bytes:
    zoom, x, y = place
    return (tmp_path / f"aerotile-data/tiles/imported/{zoom}/{x}/{y}.jpg").read_bytes()


def pictures_of(database: Path, table: str, from_south: bool) -> dict[Place, bytes]:
    """What the sqlite3 of others finds, by places from the north."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            f"SELECT zoom_level, tile_column, tile_row, tile_data FROM {table}"
        ).fetchall()
    connection.close()
    return {(z, x, (1 << z) - 1 - y if from_south else y): content for z, x, y, content in rows}


@pytest.mark.parametrize(
    ("name", "driver", "table", "options"),
    [
        ("o.mbtiles", "MBTiles", "tiles", {"TILE_FORMAT": "JPEG"}),
        ("o.gpkg", "GPKG", "o", {"TILE_FORMAT": "JPEG", "TILING_SCHEME": "GoogleMapsCompatible"}),
    ],
)
def test_jpegs_of_gdal_go_in_verbatim(
    call: Call, tmp_path: Path, name: str, driver: str, table: str, options: dict[str, str]
) -> None:
    archive = write_by_gdal(tmp_path / name, driver, **options)
    expected = pictures_of(archive, table, from_south=driver == "MBTiles")
    before = archive.read_bytes()
    result = call("provision", name, *DATE, "--json")
    assert result.code == 0, result.err
    assert (result.json["stored"], result.json["verbatim"]) == (len(expected), len(expected))
    assert {place: stored(tmp_path, place) for place in expected} == expected
    assert [one["boxes"] for one in result.json["coverage"]] == [
        [pytest.approx([11.38, 47.99, 11.51, 48.08], abs=0.02)]
    ]
    again = call("provision", name, *DATE, "--json").json
    assert (again["stored"], again["present"]) == (0, len(expected))
    assert archive.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(name)) == [name]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_pictures_are_encoded_anew_counted_and_marked(call: Call, tmp_path: Path, kind: str) -> None:
    archive = write_by_gdal(tmp_path / "o.mbtiles", "MBTiles", TILE_FORMAT=kind)
    shown = {"PNG": "PNG", "WEBP": "WebP"}[kind]
    result = call("provision", "o.mbtiles", *DATE, "--partial", "--map", "covered.png")
    assert result.code == 0, result.err
    count = len(pictures_of(archive, "tiles", from_south=True))
    assert f"read: 0 verbatim, {count} encoded anew ({count} from a {shown})" in result.out
    for place in pictures_of(archive, "tiles", from_south=True):
        content = stored(tmp_path, place)
        assert f"encoded anew by Aerotile from a {shown}".encode() in content[:200]
        assert simplejpeg.decode_jpeg(content).shape == (256, 256, 3)
    assert (tmp_path / "covered.png").read_bytes().startswith(b"\x89PNG")
    again = call("provision", "o.mbtiles", *DATE, "--partial", "--json").json
    assert (again["stored"], again["present"], again["refused"]) == (0, count, 0)


def test_tiles_of_twice_the_size_make_tiles_of_their_zoom_and_the_next(call: Call, tmp_path: Path) -> None:
    write_folder(tmp_path / "double", {(3, 4, 2): picture(1, "PNG", 512)}, "png")
    result = call("provision", "double", *DATE, "--json").json
    assert (result["stored"], [one["zoom"] for one in result["coverage"]]) == (5, [3, 4])
    assert result["encoded"] == {"PNG of 512 pixels": 1, "quarter of PNG of 512 pixels": 4}
    west, east = (
        simplejpeg.decode_jpeg(stored(tmp_path, (4, 8 + column, 4)))[128, 128].tolist() for column in (0, 1)
    )
    assert west == pytest.approx([1, 0, 77], abs=4)
    assert east == pytest.approx([200, 30, 7], abs=4)


@pytest.mark.parametrize("deduplicated", [False, True], ids=["plain", "map and images"])
@pytest.mark.parametrize("metadata", [None, {"name": "of a colleague"}], ids=["bare", "without a format"])
def test_mbtiles_go_in_without_a_format_and_as_a_view(
    call: Call, tmp_path: Path, deduplicated: bool, metadata: dict[str, str] | None
) -> None:
    write_mbtiles(tmp_path / "o.mbtiles", FOUR, metadata, deduplicated=deduplicated)
    assert call("provision", "o.mbtiles", *DATE).code == 0
    assert {place: stored(tmp_path, place) for place in FOUR} == FOUR


def test_pmtiles_and_folders_in_tms_order_go_in_as_one_mosaic(call: Call, tmp_path: Path) -> None:
    write_pmtiles(tmp_path / "o.pmtiles", dict(list(FOUR.items())[:3]))
    south = {(z, x, (1 << z) - 1 - y): picture(99) for z, x, y in FOUR}
    write_folder(tmp_path / "tms", south)
    (tmp_path / "tms/metadata.json").write_text('{"scheme": "tms"}')
    result = call("provision", "o.pmtiles", "tms", *DATE, "--json")
    assert (result.code, result.json["stored"], result.json["verbatim"]) == (0, 4, 4)
    last = list(FOUR)[3]
    assert {place: stored(tmp_path, place) for place in FOUR} == {**FOUR, last: picture(99)}
    assert [one["kind"] for one in result.json["sources"]] == ["PMTiles", "folder in tms order"]


def test_an_estimate_counts_what_would_be_stored_and_makes_no_store(call: Call, tmp_path: Path) -> None:
    write_mbtiles(tmp_path / "o.mbtiles", FOUR)
    found = call(
        "provision", "o.mbtiles", "--root", "elsewhere", "--estimate", "--json", AEROTILE_DATABASE_DSN=""
    ).json
    assert not (tmp_path / "elsewhere").exists()
    assert found["estimate"] == [
        {
            "zoom": 12,
            "wanted": None,
            "found": 4,
            "present": 0,
            "new": 4,
            "bytes": sum(map(len, FOUR.values())),
            "footprint_bytes": 4 * (4096 + 4096 + 512),
            "seconds": 0.0,
        }
    ]
    assert call("provision", "o.mbtiles", *DATE, "--area", "11.35,48.12,11.36,48.2").code == 0
    shown = call("provision", "o.mbtiles", "--estimate").out
    assert shown.splitlines()[1].split()[:4] == ["12", "-", "4", "2"]
    assert "are replaced" not in shown
    replacing = ("provision", "o.mbtiles", "--estimate", "--replace")
    assert "of those in the store up to 2 are replaced, by newer imagery; " in call(*replacing).out
    assert call(*replacing, "--json").json["replaced_at_most"] == 2


def test_an_area_is_a_box_or_a_drawing_with_its_corridor(call: Call, tmp_path: Path) -> None:
    tiles = {(14, 8700 + x, 5680): picture(x) for x in range(30)}
    write_mbtiles(tmp_path / "o.mbtiles", tiles)
    (tmp_path / "line.geojson").write_text(
        '{"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [11.2, 48.217]},'
        ' {"type": "LineString", "coordinates": [[11.1, 48.217], [11.25, 48.217]]}]}'
    )
    refused = call("provision", "o.mbtiles", *DATE, "--area", "line.geojson")
    assert (refused.code, "which have no width" in refused.error) == (BAD_CALL, True)
    result = call(
        "provision",
        "o.mbtiles",
        *DATE,
        "--area",
        "line.geojson",
        "--corridor",
        "200m",
        "--zoom",
        "14",
        "--json",
    ).json
    assert 3 <= result["stored"] <= 5
    assert result["left_out_of_area"] == {"line.geojson: single place": 1}
    assert result["estimate"][0]["wanted"] > result["estimate"][0]["found"] == result["stored"]


def test_a_tile_that_shows_no_ground_in_a_part_is_left_out_and_counted(call: Call, tmp_path: Path) -> None:
    tiles = {
        (5, 1, 1): picture(1, "PNG"),
        (5, 2, 1): picture(2, "PNG", opaque=0.5),
        (5, 3, 1): picture(3, "PNG", opaque=0.0),
    }
    write_mbtiles(tmp_path / "o.mbtiles", tiles)
    result = call("provision", "o.mbtiles", *DATE)
    assert (result.code, result.err) == (0, "")
    assert "1 stored" in result.out
    assert "1 left out: a part of them shows no ground" in result.out
    assert "1 left out: no source shows ground there" in result.out


def test_what_is_no_picture_is_refused_by_name_and_the_others_go_in(call: Call, tmp_path: Path) -> None:
    one, two, three, four = FOUR
    tiles = {**FOUR, two: b"<!DOCTYPE html><html>sign in</html>", three: FOUR[three][:400] + b"\xff\xd9"}
    write_mbtiles(tmp_path / "o.mbtiles", tiles)
    result = call("provision", "o.mbtiles", *DATE)
    assert result.code == JOB_FAILED
    lines = [line for line in result.err.splitlines() if line.startswith("refused: ")]
    assert len(lines) == 2
    assert "o.mbtiles: 12/2177/1421" in lines[0]
    assert "HTML page" in lines[0]
    assert "o.mbtiles: 12/2178/1420" in lines[1]
    assert "is cut short" in lines[1]
    assert {place: stored(tmp_path, place) for place in (one, four)} == {one: FOUR[one], four: FOUR[four]}


def test_what_is_no_tile_of_a_source_is_counted_and_no_success(call: Call, tmp_path: Path) -> None:
    write_folder(tmp_path / "tiles", FOUR)
    (tmp_path / "tiles/12/2177/map.tif").write_bytes(b"II*\0")
    result = call("provision", "tiles", *DATE)
    assert result.code == JOB_FAILED
    assert "4 stored" in result.out
    assert "left out: 1 x tiles: TIFF" in result.out


def _database(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()
    return path


_VIEW = "CREATE VIEW tiles AS SELECT 1 AS zoom_level, 0 AS tile_column, 0 AS tile_row, "


HOSTILE: list[tuple[Callable[[Path], Any], str]] = [
        (lambda at: at.write_bytes(b"nothing of the kind"), "is no source of imagery that can be read"),
        (lambda at: at.write_bytes(b""), "is empty — copy it again"),
        (lambda at: at.write_bytes(picture(1, "PNG")), "is a PNG, which says nothing of its place"),
        (lambda at: at.write_bytes(picture(1)), "is a JPEG, which says nothing of its place"),
        (lambda at: at.write_bytes(b"PK\3\4" + bytes(200)), "is a zip archive — unpack it"),
        (lambda at: at.write_bytes(b"\n<!DOCTYPE html><html>"), "is an HTML page"),
        (lambda at: at.write_bytes(b"<VRTDataset/>"), "is no source of imagery that can be read"),
        (lambda at: at.write_bytes(b"SQLite format 3\0" + bytes(200)), "file is not a database"),
        (lambda at: _database(at, "CREATE TABLE notes (a)"), "no table or view `tiles`"),
        (lambda at: write_mbtiles(at, {}), "holds no tiles"),
        (lambda at: write_mbtiles(at, FOUR, {"format": "pbf"}), "holds vector tiles"),
        (lambda at: write_mbtiles(at, FOUR, {"scheme": "xyz"}), "say that its rows are in 'xyz' order"),
        (
            lambda at: write_mbtiles(at, FOUR, {"bounds": "11.3,48.0,11.5,48.2"}, from_north=True),
            "no tile of o lies within the bounds that its metadata name, in TMS order — --scheme xyz fits",
        ),
        (
            lambda at: write_mbtiles(at, FOUR, {"bounds": "48.0,11.3,48.2,11.5"}),
            "no tile of o lies within the bounds that its metadata name, in TMS order — no order fits them",
        ),
        (lambda at: write_mbtiles(at, {(3, 1, 1): picture(1, "PNG", 300)}), "tiles of 300 x 300 pixels"),
        (
            lambda at: _database(at, "CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data)",
                                 "INSERT INTO tiles VALUES ('ten', 0, 0, x'ff')"),
            "holds 'ten' where a zoom, column or row belongs",
        ),
        (
            lambda at: _database(at, "CREATE TABLE tiles (zoom_level, tile_column, tile_row, tile_data)",
                                 "INSERT INTO tiles VALUES (2, 4, 0, x'ff')"),
            "holds columns 4..4 and rows 0..0 at zoom 2, which has 4 of each",
        ),
        (lambda at: _database(at, _VIEW + "randomblob(900000000) AS tile_data"), "not authorized"),
        (lambda at: _database(at, _VIEW + "load_extension('x') AS tile_data"), "unsafe use of"),
        (
            lambda at: _database(at, "CREATE TABLE n (i)", "INSERT INTO n VALUES " + ",".join(["(1)"] * 400),
                                 _VIEW + "count(*) AS tile_data FROM n a, n b, n c, n d"),
            "a view may join too much",
        ),
        (lambda at: write_pmtiles(at, FOUR).write_bytes(at.read_bytes()[:200]), "its section"),
        (lambda at: write_pmtiles(at, FOUR, TileType.MVT), "vector tiles"),
        (lambda at: at.mkdir(), "holds no tiles zoom/x/y.jpg, .png or .webp"),
    ]  # fmt: skip
"""What is wrong with a source `o`, and the words that say so."""


def test_hostile_and_contradicting_sources_are_refused_by_name(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "o"
    for make, words in HOSTILE:
        make(source)
        result = call("provision", "o", *DATE)
        assert (result.code, words in result.error) == (BAD_CALL, True), (words, result.err)
        assert result.error.startswith(("o ", "the metadata of o ", "no tile of o "))
        assert not (tmp_path / "aerotile-data/tiles").exists()
        source.rmdir() if source.is_dir() else source.unlink()


def test_a_geopackage_on_a_grid_of_its_own_is_refused(call: Call, tmp_path: Path) -> None:
    write_by_gdal(tmp_path / "o.gpkg", "GPKG", TILE_FORMAT="JPEG")
    result = call("provision", "o.gpkg", *DATE)
    assert result.code == BAD_CALL
    assert "TILING_SCHEME=GoogleMapsCompatible" in result.error


def test_a_database_that_is_being_written_is_refused(call: Call, tmp_path: Path) -> None:
    write_mbtiles(tmp_path / "o.mbtiles", FOUR)
    (tmp_path / "o.mbtiles-wal").write_bytes(b"frames")
    assert "o.mbtiles-wal lies beside it" in call("provision", "o.mbtiles", *DATE).error


def test_tiles_of_a_dataset_name_it_and_contest_those_of_another(call: Call, tmp_path: Path) -> None:
    write_mbtiles(tmp_path / "o.mbtiles", FOUR)
    write_mbtiles(tmp_path / "other.mbtiles", {place: picture(200) for place in FOUR})
    words = ("--licence", "CC0-1.0", "--attribution", "nobody", "--may-be-stored-offline", "yes")
    for name in ("o", "other"):
        source = ("--source", f"{name}.mbtiles", "--captured-at", "2026-04-01")
        assert call("datasets", "define", name, *words, *source).code == 0
    first = call("provision", "o.mbtiles", "--dataset", "o", "--json")
    assert (first.code, first.json["stored"]) == (0, 4)
    assert first.json["source_digest_not_compared"] is None
    assert {row["dataset"] for row in call("dump").json_lines} == {"o"}
    assert {row["captured_at"][:10] for row in call("dump").json_lines} == {"2026-04-01"}
    contested = call("provision", "other.mbtiles", "--dataset", "other")
    assert (contested.code, contested.err.count("contested: other.mbtiles: 12/")) == (JOB_FAILED, 4)
    kept = call("provision", "other.mbtiles", "o.mbtiles", "--dataset", "other", "--keep")
    assert (kept.code, "not compared with the dataset: these are 2 sources" in kept.out) == (0, True)
    changed = call("provision", "o.mbtiles", "--dataset", "other")
    assert (changed.code, "other" in changed.error) == (BAD_CALL, True)
    write_by_gdal(tmp_path / "n.gpkg", "GPKG", TILE_FORMAT="JPEG", TILING_SCHEME="GoogleMapsCompatible")
    changed = call("provision", "n.gpkg#n", "--dataset", "other")
    assert (changed.code, "the source has changed" in changed.error) == (BAD_CALL, True), changed.err
    (tmp_path / "d.csv").write_text("z,x,y,captured_at\n12,2177,1420,2026-03-01\n")
    dated = call("provision", "o.mbtiles", "--dates", "d.csv", "--source", "satellite_provider")
    assert (dated.code, "3 have no capture date" in dated.err) == (JOB_FAILED, True)
    assert "1 stored" in dated.out


IMPOSSIBLE: list[tuple[tuple[str, ...], str]] = [
    ((), "o.mbtiles does not say when the ground looked like that — give --captured-at"),
    ((*DATE, "--zoom", "12-15"), "no source has zoom 13-15 (o.mbtiles: 12)"),
    ((*DATE, "--area", "1,1,2,2"), "no source has a tile of the area at zoom 12"),
    ((*DATE, "--area", "2,1,1"), "'2,1,1' is no box"),
    ((*DATE, "--area", "2,3,1,2"), "--area: "),
    ((*DATE, "--area", "nowhere.kml"), "no file nowhere.kml"),
    ((*DATE, "--corridor", "5km"), "no --area is given"),
    ((*DATE, "--keep"), "no dataset is named"),
    ((*DATE, "--missing-only", "--replace"), "contradict each other"),
    ((*DATE, "--refresh"), "no source is an address"),
    ((*DATE, "--file-date"), "--captured-at and --file-date both say"),
    (("--estimate", "--map", "m.png"), "--map is for a provision, and --estimate stores nothing"),
    (("--estimate", *DATE), "--captured-at is for a provision, and --estimate stores nothing"),
    (("--estimate", "--dates", "o.mbtiles"), "--dates is for a provision"),
    (("--estimate", "--stac", "o.mbtiles"), "--stac is for a provision"),
    (("--estimate", "--file-date"), "--file-date is for a provision"),
    (("--estimate", "--dataset", "nobody's", "--keep"), "--dataset is for a provision"),
    (("--estimate", "--keep"), "--keep is for a provision"),
    (("--estimate", "--partial"), "--partial is for a provision"),
    (("--estimate", "--missing-only"), "--missing-only is for a provision"),
    (("--dataset", "nobody's"), "nobody's"),
    ((*DATE, "--stac", "o.mbtiles"), "both say when the tiles were captured"),
    ((*DATE, "--scheme", "zyx"), "whose rows are in tms or xyz order"),
    (("--captured-at", "2999-01-01"), "2999-01-01"),
]


def test_impossible_calls_are_refused(call: Call, tmp_path: Path) -> None:
    write_mbtiles(tmp_path / "o.mbtiles", FOUR)
    for arguments, words in IMPOSSIBLE:
        result = call("provision", "o.mbtiles", *arguments)
        assert (result.code, words in result.error) == (BAD_CALL, True), (words, result.err)
    for other in ("o.mbtiles#tiles", ".#tiles"):
        assert "has no tables, and #tiles names one" in call("provision", other, *DATE).error
    assert "no file or folder gone" in call("provision", "gone", *DATE).error


@pytest.mark.slow(reason="three processes, each with a server of its own")
def test_a_kill_or_ctrl_c_loses_nothing_that_a_second_run_does_not_bring(
    spawn: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    tiles = {(9, x, y): picture(x, "PNG") for x in range(24) for y in range(64)}
    write_mbtiles(tmp_path / "o.mbtiles", tiles)
    root = tmp_path / "aerotile-data/tiles/imported"
    signals = [signal.SIGKILL, signal.SIGINT]
    for sent in signals:
        before = len(list(root.rglob("*.jpg")))
        process = spawn("provision", "o.mbtiles", *DATE)
        until(lambda: process.poll() is not None or len(list(root.rglob("*.jpg"))) > before)  # noqa: B023
        process.send_signal(sent)  # nothing where it has ended by now
        _, err = process.communicate(timeout=120)
        if sent is signal.SIGINT and process.returncode:
            assert process.returncode == 130
            assert "the same command goes on from there" in err
    last = spawn("provision", "o.mbtiles", *DATE, "--json")
    out, err = last.communicate(timeout=120)
    assert last.returncode == 0, err
    assert len(list(root.rglob("*.jpg"))) == len(tiles)
    assert '"refused": 0' in out


def test_places_of_the_area_that_no_source_has_are_counted(call: Call, tmp_path: Path) -> None:
    write_mbtiles(tmp_path / "o.mbtiles", FOUR)
    whole = ("--area", "11.34,48.2,11.49,48.3", "--zoom", "12")
    (estimate,) = call("provision", "o.mbtiles", *whole, "--estimate", "--json").json["estimate"]
    wanted, found = estimate["wanted"], estimate["found"]
    assert wanted > found > 0
    result = call("provision", "o.mbtiles", *DATE, *whole)
    assert result.code == 0
    assert f"{wanted - found} of {wanted} places of the area are in no source" in result.out
    assert "in no source" not in call("provision", "o.mbtiles", *DATE).out


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_changed_while_it_is_read_is_named(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    archive = write_mbtiles(tmp_path / "o.mbtiles", FOUR)

    def provision(*arguments: Any, **terms: Any) -> None:
        provision_tiles(*arguments, **terms)
        if replaced:
            write_mbtiles(tmp_path / "new", FOUR).rename(archive)
        else:
            archive.unlink()

    monkeypatch.setattr("aerotile.domain.intake.provision.provision_tiles", provision)
    result = call("provision", "o.mbtiles", *DATE)
    assert result.code == JOB_FAILED
    assert "o.mbtiles was changed while it was read" in result.err
    assert result.out.startswith("4 stored")


def test_a_file_that_can_not_be_reached_behind_its_last_tile_hides_no_count(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    write_mbtiles(stick / "o.mbtiles", FOUR)

    def provision(*arguments: Any, **terms: Any) -> None:
        provision_tiles(*arguments, **terms)
        stick.rename(tmp_path / "away")
        stick.touch()  # another error than that of a missing file

    monkeypatch.setattr("aerotile.domain.intake.provision.provision_tiles", provision)
    result = call("provision", "stick/o.mbtiles", *DATE)
    assert result.code == JOB_FAILED
    assert result.out.startswith("4 stored")
    assert "stick/o.mbtiles was changed while it was read" in result.err


def test_a_dataset_that_is_forbidden_midway_hides_no_count(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mbtiles(tmp_path / "o.mbtiles", {(12, 100, 1420): picture(1), (12, 2177, 1420): picture(2)})
    words = ("--licence", "CC0-1.0", "--attribution", "Survey", "--may-be-stored-offline", "yes")
    assert call("datasets", "define", "o", *words, *DATE, "--source", "o.mbtiles").code == 0

    def provision(*arguments: Any, **terms: Any) -> None:
        def forbid(done: int) -> None:
            assert call("datasets", "amend", "o", "--may-be-stored-offline", "no").code == 0

        provision_tiles(*arguments, **terms | {"progress": forbid})

    monkeypatch.setattr("aerotile.domain.intake.provision._PART_TILES", 1)
    monkeypatch.setattr("aerotile.domain.intake.provision.provision_tiles", provision)
    result = call("provision", "o.mbtiles", "--dataset", "o")
    assert result.out.startswith("1 stored")
    assert "the dataset o may not be stored offline" in result.err
    assert result.code == JOB_FAILED


def test_a_scheme_that_has_no_effect_is_refused(call: Call, tmp_path: Path) -> None:
    write_pmtiles(tmp_path / "o.pmtiles", FOUR)
    refused = call("provision", "o.pmtiles", *DATE, "--scheme", "tms")
    assert refused.code == BAD_CALL
    assert "scheme tms is for folders and MBTiles, and has no effect on o.pmtiles, a PMTiles" in refused.error
    write_mbtiles(tmp_path / "o.mbtiles", FOUR)
    assert call("provision", "o.pmtiles", "o.mbtiles", *DATE, "--scheme", "tms").code == 0
