"""`aerotile provision`: what goes in of the archives of other programs, and what is counted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import simplejpeg
from archives import (
    FOUR,
    Place,
    picture,
    write_by_gdal,
    write_folder,
    write_mbtiles,
    write_pmtiles,
)
from cli_calls import BAD_CALL, JOB_FAILED, Call

DATE = ("--captured-at", "2026-05-01")


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
    assert (refused.code, "without a width" in refused.error) == (BAD_CALL, True)
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
