"""`aerotile export`: other programs open what it writes, and what comes back in is the same to the byte."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rasterio
from archives import Place, picture, write_folder, write_mbtiles
from cli_calls import BAD_CALL, JOB_FAILED, Call
from pmtiles.reader import MmapSource, Reader, all_tiles

DATE = ("--captured-at", "2026-05-01")
TILES: dict[Place, bytes] = {
    (zoom, (2177 << zoom - 12) + x, (1420 << zoom - 12) + y): picture(16 * zoom + 4 * x + y)
    for zoom in (12, 13)
    for x in range(3)
    for y in range(3)
    if (x, y) != (1, 1)
}
ARCHIVES = ["out.mbtiles", "out.pmtiles", "out.gpkg", "out"]


@pytest.fixture
def filled(call: Call, tmp_path: Path) -> Call:
    """The command over a store that holds `TILES`."""
    write_mbtiles(tmp_path / "in.mbtiles", TILES)
    assert call("provision", "in.mbtiles", *DATE).code == 0
    return call


def by_others(path: Path) -> dict[Place, bytes]:
    """What programs of others find in an archive."""
    if path.suffix == ".pmtiles":
        with path.open("rb") as file:
            return dict(all_tiles(MmapSource(file)))
    if path.is_dir():
        return {
            (int(tile.parts[-3]), int(tile.parts[-2]), int(tile.stem)): tile.read_bytes()
            for tile in path.rglob("*.jpg")
        }
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = database.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles").fetchall()
    database.close()
    from_south = path.suffix == ".mbtiles"
    return {(z, x, (1 << z) - 1 - y if from_south else y): content for z, x, y, content in rows}


def test_a_round_trip_gives_the_same_bytes(filled: Call, tmp_path: Path) -> None:
    for name in ARCHIVES:
        result = filled("export", name, "--json")
        assert (result.code, result.err) == (0, ""), name
        assert (result.json["tiles"], result.json["bytes"]) == (len(TILES), sum(map(len, TILES.values())))
        assert by_others(tmp_path / name) == TILES, name
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []
        again = filled("provision", name, *DATE, "--json")
        assert (again.code, again.json["present"], again.json["refused"]) == (0, len(TILES), 0), again.err
        assert again.json["verbatim"] == len(TILES)


def test_gdal_opens_an_export_where_it_lies(filled: Call, tmp_path: Path) -> None:
    metres = 2 * 20_037_508.342789244 / (1 << 13)
    x, y = 2 * 2177, 2 * 1420
    expected = ((x - 4096) * metres, (4096 - y - 3) * metres, (x + 3 - 4096) * metres, (4096 - y) * metres)
    for name in ("out.mbtiles", "out.gpkg"):
        assert filled("export", name, "--zoom", "13").code == 0
        with rasterio.open(tmp_path / name) as raster:
            assert raster.crs.to_epsg() == 3857
            assert (raster.width, raster.height) == (768, 768)
            assert tuple(raster.bounds) == pytest.approx(expected, abs=0.01)
            # Red of the western half of the tile in the north west, decoded by another program.
            assert raster.read(1)[100, 60] == pytest.approx(16 * 13, abs=4)


def test_an_export_says_what_it_is(filled: Call, tmp_path: Path) -> None:
    for name in ARCHIVES:
        assert filled("export", name).code == 0
    with sqlite3.connect(tmp_path / "out.mbtiles") as database:
        facts = dict(database.execute("SELECT name, value FROM metadata"))
    database.close()
    assert (facts["format"], facts["minzoom"], facts["maxzoom"], facts["name"]) == ("jpg", "12", "13", "out")
    west, south, east, north = map(float, facts["bounds"].split(","))
    assert (west, north) == pytest.approx((11.337890625, 48.22467), abs=1e-4)
    with (tmp_path / "out.pmtiles").open("rb") as file:
        header = Reader(MmapSource(file)).header()
    assert (header["min_zoom"], header["max_zoom"], header["tile_type"].name) == (12, 13, "JPEG")
    assert header["max_lon_e7"] == pytest.approx(east * 1e7, abs=1)
    assert header["min_lat_e7"] == pytest.approx(south * 1e7, abs=1)
    (zoom, x, y), content = next(iter(TILES.items()))
    sidecar = (tmp_path / f"out/{zoom}/{x}/{y}.jpg.sha256").read_text()
    assert sidecar == f"{hashlib.sha256(content).hexdigest()}  {y}.jpg\n"


def test_area_zoom_and_source_choose_and_what_is_left_out_is_counted(filled: Call, tmp_path: Path) -> None:
    write_folder(tmp_path / "other", {(13, 4354, 2840): picture(1)})
    assert filled("provision", "other", *DATE, "--source", "satellite_provider").code == 0
    refused = filled("export", "out.mbtiles")
    assert refused.code == JOB_FAILED
    assert "two tiles at 1 place, such as satellite_provider/13/4354/2840" in refused.error
    box = "11.338,48.20,11.36,48.22"
    result = filled(
        "export",
        "out.mbtiles",
        "--source",
        "imported",
        "--zoom",
        "13",
        "--area",
        box,
        "--dates",
        "d.csv",
        "--json",
    ).json
    assert result["left_out"] == {"of another source": 1, "another zoom": 8, "outside the area": 7}
    assert by_others(tmp_path / "out.mbtiles") == {(13, 4354, 2840): TILES[13, 4354, 2840]}
    assert (tmp_path / "d.csv").read_text() == ("z,x,y,captured_at\n13,4354,2840,2026-05-01T00:00:00+00:00\n")
    none = filled("export", "none.mbtiles", "--zoom", "3")
    assert (none.code, "holds no tile to export (17 another zoom)" in none.error) == (BAD_CALL, True)


def test_a_zoom_that_the_store_has_no_tile_of_is_refused_by_export_and_seal(
    filled: Call, tmp_path: Path
) -> None:
    said = "there is no tile of zoom 11, 14-15 to take (of these: 12-13)"
    refused = filled("export", "out.mbtiles", "--zoom", "11-15")
    assert (refused.code, said in refused.error) == (BAD_CALL, True)
    assert not (tmp_path / "out.mbtiles").exists()
    zooms = [word for zoom in range(11, 16) for word in ("--zoom", str(zoom))]
    sealed = filled("base", "seal", *zooms)
    assert (sealed.code, said in sealed.error) == (JOB_FAILED, True)
    assert filled("base", "list", "--json").json == []
    assert filled("base", "seal", "--zoom", "12", "--zoom", "13").code == 0


@pytest.mark.parametrize("name", ["out.mbtile", "out.zip", "out.TIF", "out.sqlite3"])
def test_a_name_that_ends_as_a_file_of_another_kind_is_refused(
    filled: Call, tmp_path: Path, name: str
) -> None:
    refused = filled("export", name, "--dates", "d.csv")
    said = (
        f"{name} ends as a file of a kind that is not written: .{name.partition('.')[2]} — end it in .mbtiles"
    )
    assert (refused.code, said in refused.error) == (BAD_CALL, True)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("out", ".out", "d.", ".d."))]
    assert filled("export", "tiles.2026").code == 0
    assert (tmp_path / "tiles.2026/metadata.json").exists()


def test_a_name_that_is_no_text_is_exported_to_and_brought_in_again(filled: Call, tmp_path: Path) -> None:
    for ending in (".mbtiles", ".pmtiles", ".gpkg", ""):
        name = os.fsdecode(b"out\xff") + ending
        assert filled("export", name).code == 0
        assert (tmp_path / name).exists()
        assert filled("provision", name, "--estimate").code == 0


def test_nothing_is_replaced(filled: Call, tmp_path: Path) -> None:
    for name in ARCHIVES:
        (tmp_path / name).write_bytes(b"of somebody")
        result = filled("export", name)
        assert (result.code, f"{name} is there, and nothing is replaced" in result.error) == (BAD_CALL, True)
        assert (tmp_path / name).read_bytes() == b"of somebody"
        assert "no folder" in filled("export", f"nowhere/{name}").error


@pytest.mark.parametrize(
    "name", ["tiles/out", "tiles/imported/x.mbtiles", "index", "postgres/x.pmtiles", "base/1"]
)
def test_no_export_is_made_among_the_files_of_the_store(filled: Call, tmp_path: Path, name: str) -> None:
    root = tmp_path / "aerotile-data"
    for folder in ("base", "postgres"):
        (root / folder).mkdir()
    (tmp_path / "link").symlink_to(root)
    for way in (root, tmp_path / "link"):
        for result in (
            filled("export", way / name),
            filled("export", "out.mbtiles", "--dates", way / name),
        ):
            assert (result.code, "a folder of the store's own files" in result.error) == (BAD_CALL, True)
    assert not (root / name).exists()
    assert not (tmp_path / "out.mbtiles").exists()


def test_an_export_whose_dates_can_not_be_written_leaves_nothing(
    filled: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    (tmp_path / "there").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused = filled("export", "out.mbtiles", "--dates", "there/d.csv")
        full_archive = filled("export", "out.pmtiles")
    assert refused.code == JOB_FAILED
    assert refused.error == "No space left on device: there/d.csv — make room on that disk, then run it again"
    assert (
        full_archive.error
        == "No space left on device: out.pmtiles — make room on that disk, then run it again"
    )
    assert not [path for path in tmp_path.glob("**/*") if path.name.startswith(("out", ".out", "d.", ".d."))]
    assert "FILE and --dates both name" in filled("export", "out", "--dates", "./out").error


def test_a_tile_that_is_not_what_was_committed_ends_the_export_and_leaves_nothing(
    filled: Call, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    zoom, x, y = list(TILES)[5]
    tile = tmp_path / f"aerotile-data/tiles/imported/{zoom}/{x}/{y}.jpg"
    tile.unlink()
    tile.write_bytes(jpeg(3))
    for name in ARCHIVES:
        result = filled("export", name)
        assert (result.code, f"imported/{zoom}/{x}/{y}" in result.error) == (JOB_FAILED, True), name
        assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.fixture
def files_end_early() -> Iterator[None]:
    """No file of this process grows beyond 1,000 bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_an_export_that_finds_no_room_says_so_and_leaves_nothing(
    filled: Call, tmp_path: Path, files_end_early: None
) -> None:
    for name in ARCHIVES:
        result = filled("export", name)
        assert result.code == JOB_FAILED, (name, result.err)
        assert len(result.err.splitlines()) == 1, result.err
        assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == [], name


def test_what_an_interrupted_export_left_is_no_hindrance(filled: Call, tmp_path: Path) -> None:
    for name in ARCHIVES:
        partial = tmp_path / f".{name}.partial"
        if name == "out":
            partial.mkdir()
            (partial / "12").write_bytes(b"half")
        else:
            partial.write_bytes(b"half")
        assert filled("export", name).code == 0, name
        assert by_others(tmp_path / name) == TILES, name
        assert not partial.exists()


@pytest.mark.parametrize("command", [["export", "out.pmtiles"], ["base", "seal"]])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "the file of tile imported/12/2177/1420 is gone — take it out of the store with"),
        (lambda tile: tile.write_bytes(picture(99)), "aerotile verify --repair, bring it in anew"),
    ],
)
def test_a_lost_tile_ends_an_export_and_a_seal_with_what_to_do(
    filled: Call, tmp_path: Path, command: list[str], damage: Callable[[Path], object], message: str
) -> None:
    tile = tmp_path / "aerotile-data/tiles/imported/12/2177/1420.jpg"
    tile.chmod(0o644)
    damage(tile)
    refused = filled(*command)
    assert refused.code == JOB_FAILED
    assert "imported/12/2177/1420" in refused.err
    assert message in refused.err
    assert not (tmp_path / "out.pmtiles").exists()
