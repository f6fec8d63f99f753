"""Folders of tiles as people have them: their order, their notes, and what lies in a tile's place."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from aerotile.adapters.input_files.errors import InputFileError
from aerotile.adapters.input_files.folder_notes import read_folder_notes
from aerotile.adapters.input_files.tile_folder import (
    ChangedFileError,
    TileFolder,
    count_outside,
    scan_tile_folder,
)
from aerotile.adapters.input_files.tile_scheme import TileScheme, settle_scheme
from aerotile.domain.values.tile_grid import tile_bbox

XYZ, TMS, ZYX = TileScheme
CAPE_TOWN = (14, 9030, 9834)
TILE_MAP = """<?xml version="1.0"?><TileMap version="1.0.0" tilemapservice="http://tms.osgeo.org/1.0.0">
<SRS>{srs}</SRS><BoundingBox minx="{0}" miny="{1}" maxx="{2}" maxy="{3}"/>
<TileSets profile="{profile}"/></TileMap>"""
LATITUDE_FIRST = (-33.93, 18.41, -33.91, 18.43)
LONGITUDE_FIRST = (18.41, -33.93, 18.43, -33.91)
METRES = (2_049_391.0, -4_018_600.0, 2_051_600.0, -4_016_000.0)


def put(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"tile")


def tile_map(
    folder: Path,
    bounds: tuple[float, ...] = LONGITUDE_FIRST,
    srs: str = "EPSG:900913",
    profile: str = "mercator",
) -> None:
    (folder / "tilemapresource.xml").write_text(TILE_MAP.format(*bounds, srs=srs, profile=profile))


def metadata(folder: Path, **facts: object) -> None:
    (folder / "metadata.json").write_text(json.dumps(facts))


def places(found: TileFolder) -> list[tuple[int, int, int]]:
    return [(tile.zoom_level, tile.x, tile.y) for tile in found.tiles]


def settled(folder: Path, asked: TileScheme | None = None) -> TileFolder:
    notes = read_folder_notes(folder)
    scheme = settle_scheme(asked, notes)
    found = scan_tile_folder(folder, (), scheme)
    for note in notes:
        count_outside(note, found.tiles, scheme)
    return found


@pytest.mark.parametrize(
    ("scheme", "path"),
    [(XYZ, "14/9030/9834.jpg"), (TMS, "14/9030/6549.jpg"), (ZYX, "14/9834/9030.jpg")],
)
def test_a_path_is_read_in_the_order_of_its_scheme(tmp_path: Path, scheme: TileScheme, path: str) -> None:
    put(tmp_path, path)
    assert places(scan_tile_folder(tmp_path, (), scheme)) == [CAPE_TOWN]
    assert scheme.place(14, *scheme.place(14, 9030, 9834)) == (9030, 9834)


def test_tiles_are_sorted_by_place_whatever_the_scheme(tmp_path: Path) -> None:
    put(tmp_path, *(f"3/{second}/{third}.jpg" for second in (1, 2) for third in (0, 7)), "2/1/1.jpg")
    for scheme in TileScheme:
        found = places(scan_tile_folder(tmp_path, (), scheme))
        assert found == sorted(found)


def test_a_zoom_beyond_the_grid_is_left_for_the_gates(tmp_path: Path) -> None:
    put(tmp_path, "9999999/1/1.jpg")
    for scheme in TileScheme:
        assert places(scan_tile_folder(tmp_path, (), scheme)) == [(9999999, 1, 1)]


@pytest.mark.parametrize("bounds", [LATITUDE_FIRST, LONGITUDE_FIRST, METRES])
def test_a_tile_map_says_that_rows_count_from_the_south(tmp_path: Path, bounds: tuple[float, ...]) -> None:
    put(tmp_path, "14/9030/6549.jpg")
    tile_map(tmp_path, bounds)
    found = settled(tmp_path)
    assert (places(found), found.ignored) == ([CAPE_TOWN], 0)
    assert tile_bbox(9030, 9834, 14).max_lat < 0
    assert places(settled(tmp_path, TMS)) == [CAPE_TOWN]


@pytest.mark.parametrize(("scheme", "row"), [("tms", 6549), ("xyz", 9834)])
def test_metadata_say_the_scheme(tmp_path: Path, scheme: str, row: int) -> None:
    put(tmp_path, f"14/9030/{row}.jpg")
    metadata(tmp_path, name="Cape Town", scheme=scheme, bounds="18.41,-33.93,18.44,-33.9")
    assert places(settled(tmp_path)) == [CAPE_TOWN]


@pytest.mark.parametrize("asked", [XYZ, ZYX])
def test_a_scheme_that_contradicts_a_note_is_refused_by_name(tmp_path: Path, asked: TileScheme) -> None:
    tile_map(tmp_path)
    with pytest.raises(InputFileError, match=f"in tms order, --scheme says {asked.value}") as caught:
        settle_scheme(asked, read_folder_notes(tmp_path))
    assert "tilemapresource.xml" in str(caught.value)
    assert caught.value.remedy == "leave --scheme out, or remove the file if it is wrong"


def test_notes_that_contradict_each_other_are_refused_by_name(tmp_path: Path) -> None:
    tile_map(tmp_path)
    metadata(tmp_path, scheme="xyz")
    with pytest.raises(InputFileError, match=r"resource\.xml says .* tms order, .*data\.json says xyz"):
        settle_scheme(None, read_folder_notes(tmp_path))


def test_bounds_in_which_no_tile_lies_are_refused_with_the_scheme_that_fits(tmp_path: Path) -> None:
    put(tmp_path, "14/9030/6549.jpg")
    metadata(tmp_path, bounds=[18.41, -33.93, 18.44, -33.9])
    with pytest.raises(InputFileError, match=r"no tile lies within the bounds .*metadata\.json") as caught:
        settled(tmp_path)
    assert caught.value.remedy is not None
    assert caught.value.remedy.startswith("--scheme tms fits; ")
    assert places(settled(tmp_path, TMS)) == [CAPE_TOWN]


def test_bounds_that_contradict_the_order_of_a_tile_map_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "14/9030/9834.jpg")
    tile_map(tmp_path)
    with pytest.raises(InputFileError, match=r"tilemapresource.xml names, .* read in tms order"):
        settled(tmp_path)


def test_tiles_outside_the_bounds_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "4/0/5.jpg", "4/15/5.jpg", "4/8/5.jpg", "4/8/6.jpg")
    metadata(tmp_path, bounds="157.6,41,-157.6,54")
    (note,) = read_folder_notes(tmp_path)
    assert len(note.bounds[0]) == 2  # across the antimeridian
    assert count_outside(note, scan_tile_folder(tmp_path, (), XYZ).tiles, XYZ) == 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("tilemapresource.xml", "<TileMap>", "no XML"),
        ("tilemapresource.xml", "<Capabilities/>", "no TileMap"),
        ("tilemapresource.xml", "<?xml version='1.0' encoding='xyz'?><TileMap/>", "unknown encoding"),
        ("tilemapresource.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><TileMap/>", "entities"),
        (
            "tilemapresource.xml",
            TILE_MAP.format(0, 0, 1, 1, srs="EPSG:4326", profile="geodetic"),
            "no Web Merc",
        ),
        (
            "tilemapresource.xml",
            TILE_MAP.format(0, "x", 1, 1, srs="EPSG:3857", profile=""),
            "'x' is no number",
        ),
        ("tilemapresource.xml", TILE_MAP.format(5, 5, 1, 1, srs="EPSG:3857", profile=""), "impossible"),
        ("metadata.json", "", "Expecting value"),
        ("metadata.json", "[" * 100_000, "."),
        ("metadata.json", "[]", "no JSON object"),
        ("metadata.json", '{"scheme": "wms"}', "'wms'"),
        ("metadata.json", '{"scheme": "xyz", "scheme": "tms"}', "'scheme' comes twice in one object"),
        ("metadata.json", '{"bounds": [1, 2, 3]}', "not west, south, east, north"),
        ("metadata.json", '{"bounds": [1, 2, 3, true]}', "no number"),
        ("metadata.json", '{"bounds": "1,2,3,NaN"}', "no number"),
        ("metadata.json", " " * (1 << 21), "larger than"),
    ],
)
def test_a_note_that_can_not_be_read_is_refused_by_name(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputFileError, match=f"{name} can't be read: .*{reason}") as caught:
        read_folder_notes(tmp_path)
    assert caught.value.remedy


def test_pictures_of_other_kinds_are_counted_by_kind_and_other_files_as_ignored(tmp_path: Path) -> None:
    put(tmp_path, "10/530/340.jpg", "10/530/340.jpg.sha256", "10/530/351.png", "10/530/352.PNG")
    put(tmp_path, "10/530/361.webp", "10/530/0340.jpg", "10/530/362.kml", "10/notes.txt", "doc.kml", "10/7")
    found = scan_tile_folder(tmp_path, (), XYZ)
    assert places(found) == [(10, 530, 340)]
    assert found.left_out == Counter({"PNG": 2, "WebP": 1, "JPEG without a tile's number": 1})
    assert (found.ignored, found.problems) == (4, [])


def test_tiles_in_folders_that_are_no_zoom_or_column_are_counted(tmp_path: Path) -> None:
    put(
        tmp_path,
        "10/530/340.jpg",
        "010/530/1.jpg",
        "imported/10/530/2.jpg",
        "10/0531/0003.jpeg",
        "10/530/a/4.png",
    )
    put(tmp_path, "images/marker.png", "10/x530/logo.jpg", "10/530/b/readme.txt")
    found = scan_tile_folder(tmp_path, (), XYZ)
    assert places(found) == [(10, 530, 340)]
    astray = "in folders that are no zoom or column"
    assert found.left_out == Counter({f"JPEG {astray}": 3, f"PNG {astray}": 1})


def test_what_stands_in_a_tiles_place_is_refused_by_name_without_sinking_the_rest(tmp_path: Path) -> None:
    put(tmp_path, "3/1/1.jpg", "3/1/2.jpg", "3/1/2.jpeg", "3/1/3.JPG", "3/2/5.jpg")
    (tmp_path / "3/1/4.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "3/1/5.jpg")
    (tmp_path / "3/1/6.jpg").mkdir()
    (tmp_path / "3/1/7.jpg").symlink_to("7.jpg")
    (tmp_path / "3/4").symlink_to("gone")
    (tmp_path / "5").symlink_to("gone")
    found = scan_tile_folder(tmp_path, (), XYZ)
    assert places(found) == [(3, 1, 1), (3, 1, 3), (3, 2, 5)]
    problems = {str(Path(problem.file).relative_to(tmp_path)): problem for problem in found.problems}
    assert {name: problem.message for name, problem in problems.items()} == {
        "3/1/2.jpeg": "the tile is there 2 times: 2.jpeg, 2.jpg",
        "3/1/2.jpg": "the tile is there 2 times: 2.jpeg, 2.jpg",
        "3/1/4.jpg": "is a broken link to nowhere.jpg",
        "3/1/5.jpg": "is no plain file",
        "3/1/6.jpg": "is no plain file",
        "3/1/7.jpg": "can't be read: Too many levels of symbolic links",
        "3/4": "is a broken link to gone",
        "5": "is a broken link to gone",
    }
    assert all(problem.remedy for problem in found.problems)
    assert (problems["3/1/2.jpg"].tile, problems["3/4"].tile, problems["5"].tile) == ("3/1/2", "3/4", "5")


def test_a_tile_that_changed_since_its_folder_was_listed_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, "3/1/2.jpg", "3/1/3.jpg")
    changed, same = scan_tile_folder(tmp_path, (), XYZ).tiles
    Path(changed.name).write_bytes(b"other")
    os.utime(changed.name, ns=(0, 1))
    with pytest.raises(ChangedFileError, match="has changed since the folder was listed"):
        changed.read_pixels(100)
    assert same.read_pixels(100) == Path(same.name).read_bytes()


def test_twins_of_a_tms_folder_are_named_by_their_place_on_the_grid(tmp_path: Path) -> None:
    put(tmp_path, "3/1/2.jpeg", "3/1/2.jpg")
    assert {problem.tile for problem in scan_tile_folder(tmp_path, (), TMS).problems} == {"3/1/5"}


def test_a_folder_that_can_not_be_read_is_refused_by_name_without_sinking_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "3/1/1.jpg", "3/2/1.jpg", "4/1/1.jpg")
    scandir = os.scandir

    def refusing(folder: str) -> object:
        if str(folder).endswith(("3/2", "/4")):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)  # root, who may run the tests, reads every folder
    found = scan_tile_folder(tmp_path, (), XYZ)
    assert places(found) == [(3, 1, 1)]
    assert [(Path(problem.file).name, problem.tile, problem.message) for problem in found.problems] == [
        ("2", "3/2", "the folder can't be read: Permission denied"),
        ("4", "4", "the folder can't be read: Permission denied"),
    ]
