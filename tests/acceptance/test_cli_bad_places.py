"""Sectors, zoom levels, places and boxes that are none, one line each as a person sees it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_calls import BAD_CALL, Call


@pytest.mark.parametrize("content", ["", "lat,lon\n1,2\n", "{}", "[1, 2]", '{"type": "FeatureCollection"}'])
def test_geojson_that_is_none(call: Call, tmp_path: Path, content: str) -> None:
    (tmp_path / "sectors.geojson").write_text(content)
    result = call("sectors", "load", "sectors.geojson")
    assert result.code == BAD_CALL
    assert result.error.startswith("sectors.geojson: ")
    assert result.error.endswith(" — correct the file; no sector was changed")


def test_geojson_with_one_bad_feature_changes_no_sector(call: Call, tmp_path: Path) -> None:
    ring = [[10, 50], [12, 50], [12, 51], [10, 51], [10, 50]]
    features = [
        {
            "type": "Feature",
            "properties": {"sector_id": sector_id, "classification": classification},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for sector_id, classification in (("a", "stable_rear"), ("b", "peaceful"))
    ]
    path = tmp_path / "sectors.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    result = call("sectors", "load", path)
    assert result.code == BAD_CALL
    assert "feature 2: classification must be one of active_conflict, stable_rear" in result.error
    assert call("sectors", "list", "--json").json["sectors"] == []


def test_a_negative_zoom(call: Call, xyz_folder: Callable[..., Path], days_ago: Callable[[int], str]) -> None:
    xyz_folder()
    for arguments in (
        ["dump", "--zoom", "-1"],
        ["ingest", "tiles", "--captured-at", days_ago(1), "--zoom=-1"],
    ):
        result = call(*arguments)
        assert result.code == BAD_CALL
        assert "a zoom level is a whole number within 0..22, got '-1'" in result.error


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("91", "0"), "must be within -85.0511287798066..85.0511287798066 degrees, got 91.0"),
        (("nan", "0"), "'LAT': must be a number in plain digits, got 'nan'"),
        (("4_8.1", "0"), "'LAT': must be a number in plain digits, got '4_8.1'"),
        (("0", "1e400"), "'LON': must be a number in plain digits, got '1e400'"),
        (("0", "-180.5"), "must be within -180..180 degrees, got -180.5"),
        (("north", "0"), "'LAT': must be a number in plain digits, got 'north'"),
    ],
)
def test_a_place_that_is_none(call: Call, place: tuple[str, str], message: str) -> None:
    result = call("explain", *place, "2024-05-01", "--zoom", "12")
    assert result.code == BAD_CALL
    assert message in result.error


@pytest.mark.parametrize(
    "box", ["1,2,3", "a,b,c,d", "10,0,5,1", "0,0,200,1", "0,nan,1,1", "1_0,0,11,1", "0,0,\u0661,1"]
)
def test_a_box_that_is_none(call: Call, box: str) -> None:
    result = call("dump", "--bbox", box)
    assert result.code == BAD_CALL
    assert "--bbox" in result.error


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "-k", "1_0"),
        ("search", "--near", "4_8.1,11.6,5km"),
        ("base", "seal", "--number", " 7"),
        ("export", "x.mbtiles", "--area", "1_0,0,11,1"),
        ("demo", "folder", "--seed", "\u0661"),
        ("provision", "https://tiles.example/{z}/{x}/{y}.jpg", "--rate", "inf"),
        ("describe", "--headings", "0,9_0"),
    ],
    ids=" ".join,
)
def test_a_number_in_other_than_plain_digits(call: Call, arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert result.code == BAD_CALL
    assert repr(arguments[-1])[1:-1] in result.error


def test_a_named_pipe_is_refused_and_not_waited_for(call: Call, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.geojson")
    result = call("sectors", "load", tmp_path / "s.geojson")
    assert result.code == 2
    assert f"File '{tmp_path / 's.geojson'}' is a pipe" in result.error
