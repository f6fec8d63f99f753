"""`aerotile provision` of GeoTIFFs that GDAL wrote, and what it says of those that can't go in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from affine import Affine
from archives import picture, write_mbtiles
from cli_calls import BAD_CALL, Call
from PIL import Image
from rasters import slopes, write_raster

DATE = ("--captured-at", "2026-05-01")
_CRS, _PLACE = "EPSG:32632", Affine(4.0, 0.0, 680_000.0, 0.0, -4.0, 5_330_000.0)


def by_gdal(tmp_path: Path, *command: str) -> None:
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)


@pytest.fixture
def ortho(tmp_path: Path) -> Path:
    """6.4 by 5.2 km of 4 m pixels in UTM, as GDAL's translator writes it, with a time."""
    write_raster(tmp_path / "raw.tif", slopes(1600, 1300), _CRS, _PLACE)
    options = ("-co", "TILED=YES", "-co", "COMPRESS=DEFLATE", "-mo", "TIFFTAG_DATETIME=2026:05:01 10:30:00")
    by_gdal(tmp_path, "gdal_translate", "-q", *options, "raw.tif", "ortho.tif")
    return tmp_path / "ortho.tif"


def stored(tmp_path: Path) -> dict[str, bytes]:
    root = tmp_path / "aerotile-data/tiles/imported"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.jpg"))}


def test_a_geotiff_goes_in_with_the_date_of_its_tags(call: Call, tmp_path: Path, ortho: Path) -> None:
    shown = call("provision", "ortho.tif", "--zoom", "13-14", "--estimate")
    said = "ortho.tif says that it was captured at 2026-05-01T10:30:00+00:00, in its tag TIFFTAG_DATETIME"
    assert shown.out.splitlines()[0] == f"{said} (often when the file was made)"
    result = call("provision", "ortho.tif", "--zoom", "13-14", "--file-date", "--json")
    assert result.code == 0, result.err
    assert result.json["dates_from"] == "of the sources"
    (source,) = result.json["sources"]
    assert source["captured_at_is_the_files"] is True
    assert (source["kind"], source["captured_at"]) == ("GeoTIFF", "2026-05-01T10:30:00+00:00")
    assert source["captured_at_from"] == "its tag TIFFTAG_DATETIME"
    first = stored(tmp_path)
    assert result.json["encoded"] == {"GeoTIFF": len(first)}
    assert {row["captured_at"] for row in call("dump").json_lines} == {"2026-05-01T10:30:00+00:00"}
    for content in first.values():
        assert b"encoded anew by Aerotile from a GeoTIFF" in content[:200]
        assert simplejpeg.decode_jpeg(content).shape == (256, 256, 3)
    again = call("provision", "ortho.tif", "--partial", "--file-date", "--json").json
    assert (again["present"], again["refused"]) == (len(first), 0)
    assert again["stored"] == again["partial_taken"] > 0


def test_the_time_of_the_file_is_no_date_of_the_imagery_unless_the_operator_says_so(
    call: Call, tmp_path: Path, ortho: Path
) -> None:
    refused = call("provision", "ortho.tif", "--zoom", "14")
    assert refused.code == BAD_CALL
    said = (
        "ortho.tif says 2026-05-01 10:30:00+00:00 in its tag TIFFTAG_DATETIME, which is often when the file"
    )
    assert said in refused.error
    assert "--captured-at DATE, or --file-date" in refused.error
    assert stored(tmp_path) == {}
    told = call("provision", "ortho.tif", "--zoom", "14", "--file-date")
    assert told.code == 0, told.err
    assert "capture dates: of the sources" in told.out.splitlines()
    # A dataset without a date of its own does not let it in either.
    offline = ("--may-be-stored-offline", "yes", "--source", "ortho.tif", "--dates-from", "the file's tags")
    define = ("datasets", "define", "o", "--licence", "own", "--attribution", "A", *offline)
    assert call(*define).code == 0
    undated = call("provision", "ortho.tif", "--zoom", "12", "--dataset", "o")
    assert undated.code != 0
    assert said in undated.err
    by_hand = call("provision", "ortho.tif", "--zoom", "12", "--dataset", "o", *DATE, "--partial")
    assert (by_hand.code, "capture dates: by hand" in by_hand.out) == (0, True), by_hand.err
    # The time of acquisition is the imagery's own.
    options = (
        "-mo",
        "TIFFTAG_DATETIME=2026:05:01 10:30:00",
        "-mo",
        "ACQUISITIONDATETIME=2026-04-02 08:00:00",
    )
    by_gdal(tmp_path, "gdal_translate", "-q", *options, "raw.tif", "acquired.tif")
    acquired = call("provision", "acquired.tif", "--zoom", "13", "--partial", "--json")
    assert acquired.code == 0, acquired.err
    (source,) = acquired.json["sources"]
    assert source["captured_at_from"] == "its tag ACQUISITIONDATETIME"
    assert source["captured_at_is_the_files"] is False


def test_zooms_finer_than_the_raster_are_enlarged_only_when_asked_for(
    call: Call, tmp_path: Path, ortho: Path
) -> None:
    beyond = call("provision", "ortho.tif", "--zoom", "14-16", *DATE)
    assert beyond.code == BAD_CALL
    assert "no source has zoom 15-16 (ortho.tif: 12-14)" in beyond.error
    assert "--enlarge" in beyond.error
    assert stored(tmp_path) == {}
    asked = call("provision", "ortho.tif", "--zoom", "14-15", "--enlarge", *DATE, "--json").json
    assert set(asked["encoded"]) == {"GeoTIFF", "GeoTIFF enlarged 1.3 times"}
    assert all(
        (b"from a GeoTIFF enlarged 1.3 times" in content[:200]) == name.startswith("15/")
        for name, content in stored(tmp_path).items()
    )


def test_a_geotiff_that_can_not_be_placed_or_dated_is_refused_by_name(
    call: Call, tmp_path: Path, ortho: Path
) -> None:
    planes = slopes(300, 300)
    write_raster(tmp_path / "bare.tif", planes, None, _PLACE)
    Image.fromarray(np.moveaxis(planes, 0, 2)).save(tmp_path / "nowhere.tif")
    write_raster(tmp_path / "datum.tif", planes, "+proj=utm +zone=32 +ellps=bessel +units=m", _PLACE)
    write_raster(tmp_path / "undated.tif", planes, _CRS, _PLACE)
    (tmp_path / "short.tif").write_bytes(ortho.read_bytes()[:40_000])
    for arguments, words in [
        (("bare.tif", *DATE), "bare.tif has no projection — "),
        (("nowhere.tif", *DATE), "nowhere.tif has no projection — "),
        (("datum.tif", *DATE), "datum.tif has a projection without a datum"),
        (("short.tif", *DATE), "short.tif is cut short"),
        (("undated.tif",), "undated.tif does not say when the ground looked like that"),
        (("ortho.tif", "--area", "1,1,2,2", *DATE), "no source has a tile of the area at zoom 12-14"),
        (("ortho.tif", "--enlarge"), "--enlarge makes zooms of --zoom, and none is given"),
    ]:
        result = call("provision", *arguments)
        assert (result.code, words in result.error) == (BAD_CALL, True), result.err
        assert len(result.err.strip().splitlines()) == 1
    assert stored(tmp_path) == {}


def test_a_cog_and_an_archive_are_one_mosaic(call: Call, tmp_path: Path, ortho: Path) -> None:
    by_gdal(tmp_path, "gdal_translate", "-q", "-of", "COG", "-co", "BLOCKSIZE=256", "ortho.tif", "cog.tif")
    tiles = {(14, 8713, 5690): picture(1), (15, 0, 0): picture(2)}
    write_mbtiles(tmp_path / "o.mbtiles", tiles)
    result = call("provision", "o.mbtiles", "cog.tif", *DATE, "--json").json
    assert [source["kind"] for source in result["sources"]] == ["MBTiles", "GeoTIFF"]
    assert (result["verbatim"], result["refused"]) == (2, 0)
    assert (result["stored"], set(result["encoded"])) == (2 + result["encoded"]["GeoTIFF"], {"GeoTIFF"})
    assert stored(tmp_path)["14/8713/5690.jpg"] == tiles[14, 8713, 5690]


def test_a_raster_smaller_than_a_tile_brings_nothing_and_that_is_no_success(
    call: Call, tmp_path: Path
) -> None:
    write_raster(tmp_path / "small.tif", slopes(300, 300), _CRS, _PLACE)
    result = call("provision", "small.tif", "--zoom", "14", *DATE)
    assert result.code == 1
    assert "error: nothing came in: 4 places show ground in a part alone" in result.err
    assert result.err.endswith(" — take these with --partial\n")
    assert stored(tmp_path) == {}
