"""`aerotile provision`: sources and calls that are refused, each in one line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archives import (
    FOUR,
    picture,
    write_by_gdal,
    write_mbtiles,
    write_pmtiles,
)
from cli_calls import BAD_CALL, Call
from pmtiles.tile import TileType

DATE = ("--captured-at", "2026-05-01")


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


def test_a_scheme_that_has_no_effect_is_refused(call: Call, tmp_path: Path) -> None:
    write_pmtiles(tmp_path / "o.pmtiles", FOUR)
    refused = call("provision", "o.pmtiles", *DATE, "--scheme", "tms")
    assert refused.code == BAD_CALL
    assert "scheme tms is for folders and MBTiles, and has no effect on o.pmtiles, a PMTiles" in refused.error
    write_mbtiles(tmp_path / "o.mbtiles", FOUR)
    assert call("provision", "o.pmtiles", "o.mbtiles", *DATE, "--scheme", "tms").code == 0
