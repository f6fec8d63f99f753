"""GeoTIFFs that can't be placed or read are refused, one line each that says what to do."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasters import slopes, write_raster

from aerotile.adapters.rasters.raster_file import open_raster
from aerotile.domain.errors import ImagerySourceError

_PLACE = Affine(4.0, 0.0, 500_000.0, 0.0, -4.0, 5_400_000.0)
_WITHOUT_DATUM = "+proj=utm +zone=33 +ellps=bessel +units=m"


def _refusal(path: Path) -> str:
    with pytest.raises(ImagerySourceError) as refused:
        open_raster(path)
    assert "\n" not in refused.value.explained
    assert refused.value.remedy
    assert str(path) in str(refused.value)
    return str(refused.value)


def test_no_projection(tmp_path: Path) -> None:
    assert _refusal(write_raster(tmp_path / "a.tif", slopes(90, 70), None, _PLACE)).endswith(
        "has no projection"
    )


def test_control_points_in_place_of_a_projection(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    points = [GroundControlPoint(row, col, col * 4.0, row * -4.0) for row in (0, 70) for col in (0, 90)]
    facts = {"driver": "GTiff", "width": 90, "height": 70, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", gcps=points, crs="EPSG:32633", **facts) as file:
        file.write(slopes(90, 70))
    assert "has no projection (has control points in its place)" in _refusal(path)


def test_a_projection_without_a_datum(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(90, 70), _WITHOUT_DATUM, _PLACE)
    assert "has a projection without a datum" in _refusal(path)


def test_a_datum_that_is_tied_to_the_globe_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_raster(path, slopes(90, 70), _WITHOUT_DATUM + " +towgs84=598,73,418", _PLACE)
    assert open_raster(path).max_zoom(256) > 0


def test_a_local_projection(tmp_path: Path) -> None:
    wkt = 'LOCAL_CS["site grid",UNIT["metre",1]]'
    assert "local projection" in _refusal(write_raster(tmp_path / "a.tif", slopes(90, 70), wkt, _PLACE))


@pytest.mark.parametrize("pixel", [1e12, 1e300, float("nan"), float("inf")])
def test_a_place_far_off_the_globe(pixel: float, tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif", slopes(90, 70), "EPSG:3857", Affine(pixel, 0.0, 680_000.0, 0.0, -4.0, 0.0)
    )
    assert "lies where its projection has no place on the grid" in _refusal(path)


@pytest.mark.parametrize(("tag", "kind"), [(273, 0), (277, 7), (34735, 1)])
def test_a_damaged_tag(tag: int, kind: int, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(90, 70), "EPSG:32633", _PLACE)
    content = bytearray(path.read_bytes())
    entry = content.index(tag.to_bytes(2, "little"), int.from_bytes(content[4:8], "little") + 2)
    content[entry + 2 : entry + 4] = kind.to_bytes(2, "little")
    path.write_bytes(content)
    _refusal(path)


def test_five_bands_without_colours(tmp_path: Path) -> None:
    planes = np.zeros((5, 70, 90), np.uint8)
    path = write_raster(
        tmp_path / "a.tif", planes, "EPSG:32633", _PLACE, photometric="minisblack", alpha="no"
    )
    assert "has 5 bands, and nothing says which are red, green and blue" in _refusal(path)


def test_complex_values(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.zeros((1, 70, 90), np.complex64), "EPSG:32633", _PLACE)
    assert "has complex values" in _refusal(path)


def test_one_value_everywhere_has_no_scale(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.full((1, 70, 90), 9, np.uint16), "EPSG:32633", _PLACE)
    assert "can't be scaled to 8 bits" in _refusal(path)


@pytest.mark.parametrize("share", [0.999, 0.5, 0.01])
def test_a_copy_that_broke_off(share: float, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(900, 700), "EPSG:32633", _PLACE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "is cut short" in _refusal(path)


@pytest.mark.parametrize("content", [b"", b"no raster at all", b"II*\0", b"\x89PNG\r\n\x1a\n" + bytes(99)])
def test_what_is_no_geotiff(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert "can't be read as a GeoTIFF" in _refusal(path)


def test_a_file_that_would_open_another_one(tmp_path: Path) -> None:
    write_raster(tmp_path / "real.tif", slopes(90, 70), "EPSG:32633", _PLACE)
    path = tmp_path / "a.tif"
    path.write_text(
        '<VRTDataset rasterXSize="90" rasterYSize="70"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{tmp_path / 'real.tif'}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    assert "can't be read as a GeoTIFF" in _refusal(path)


def test_metadata_that_name_a_file_for_overviews(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(90, 70), "EPSG:32633", _PLACE)
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/vsicurl/http://127.0.0.1:1/overviews.tif")
    assert "names another file for its overviews, /vsicurl/http://127.0.0.1:1/" in _refusal(path)


@pytest.mark.parametrize("ending", [".ovr", ".msk", ".OVR"])
def test_a_sidecar_that_would_open_another_file(ending: str, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", slopes(90, 70), "EPSG:32633", _PLACE)
    path.with_name("a.tif" + ending).write_text('<VRTDataset rasterXSize="90" rasterYSize="70"/>')
    assert f"a.tif{ending} lies beside a raster and is no TIFF" in _refusal(path)


def test_a_palette_of_16_bits(tmp_path: Path) -> None:
    planes = np.arange(90 * 70, dtype=np.uint16).reshape(1, 70, 90)
    path = write_raster(tmp_path / "a.tif", planes, "EPSG:32633", _PLACE, photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {value: (value % 256, 0, 0, 255) for value in range(1 << 16)})
    assert "has a palette of more than 256 colours (uint16)" in _refusal(path)


def test_statistics_without_an_end_are_not_taken_for_the_scale(tmp_path: Path) -> None:
    planes = np.arange(90 * 70, dtype=np.uint16).reshape(1, 70, 90)
    path = write_raster(tmp_path / "a.tif", planes, "EPSG:32633", _PLACE)
    with rasterio.open(path, "r+") as file:
        file.update_tags(1, STATISTICS_MINIMUM="0", STATISTICS_MAXIMUM="inf")
    scale = open_raster(path).scale
    assert scale is not None
    assert 5000 < scale.high < 6300


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    raster = write_raster(tmp_path / "a.tif", slopes(90, 70), "EPSG:32633", _PLACE)
    with pytest.raises(ImagerySourceError, match="has a name that is not UTF-8"):
        open_raster(raster.rename(tmp_path / os.fsdecode(b"\xff.tif")))
