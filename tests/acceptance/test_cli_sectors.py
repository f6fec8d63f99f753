from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cli_calls import Call

from aerotile.adapters.clocks import SystemClock

DaysAgo = Callable[[int], str]
LoadSectors = Callable[..., Any]

NORTH = ("north", "active_conflict", (10.0, 50.0, 12.0, 51.0))
SOUTH = ("south", "stable_rear", (10.0, 40.0, 12.0, 50.5))


def write_geojson(path: Path, *sectors: tuple[str, str, tuple[float, float, float, float]]) -> Path:
    features = []
    for sector_id, classification, (west, south, east, north) in sectors:
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        features.append(
            {
                "type": "Feature",
                "properties": {"sector_id": sector_id, "classification": classification},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        )
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def load_sectors(call: Call, tmp_path: Path) -> LoadSectors:
    return lambda *sectors: call("sectors", "load", write_geojson(tmp_path / "s.geojson", *sectors))


def test_loaded_sectors_are_listed(call: Call, load_sectors: LoadSectors) -> None:
    assert load_sectors(SOUTH, NORTH).out.startswith("2 sectors loaded\n")
    facts = call("sectors", "list", "--json").json
    assert facts["sectors"][0] == {
        "sector_id": "north",
        "classification": "active_conflict",
        "min_lon": 10.0,
        "min_lat": 50.0,
        "max_lon": 12.0,
        "max_lat": 51.0,
    }
    assert [sector["sector_id"] for sector in facts["sectors"]] == ["north", "south"]
    assert facts["rules"] == [
        {"classification": "active_conflict", "max_age_seconds": 180 * 86_400},
        {"classification": "stable_rear", "max_age_seconds": 365 * 86_400},
    ]


def test_loading_replaces_what_was_loaded(call: Call, load_sectors: LoadSectors) -> None:
    load_sectors(NORTH)
    load_sectors(SOUTH)
    assert [s["sector_id"] for s in call("sectors", "list", "--json").json["sectors"]] == ["south"]


def test_several_files_are_loaded_together(call: Call, tmp_path: Path) -> None:
    files = [write_geojson(tmp_path / f"{s[0]}.geojson", s) for s in (NORTH, SOUTH)]
    facts = call("sectors", "load", *files, "--json").json
    assert (facts["loaded"], facts["without_geometry"]) == (2, [])


def test_where_sectors_lie_is_shown_by_hemisphere_and_on_both_sides_of_the_antimeridian(
    call: Call, load_sectors: LoadSectors, tmp_path: Path
) -> None:
    east = ("east", "stable_rear", (178.0, -18.0, 180.0, -17.0))
    west = ("west", "stable_rear", (-180.0, -18.0, -179.0, -16.5))
    assert load_sectors(NORTH, east, west).out.splitlines()[1:] == [
        "  active_conflict lies within 50.0000 N to 51.0000 N, 10.0000 E to 12.0000 E",
        "  stable_rear lies within 18.0000 S to 16.5000 S, 178.0000 E to 180.0000 E"
        " and 18.0000 S to 16.5000 S, 180.0000 W to 179.0000 W",
    ]
    assert call("sectors", "load", tmp_path / "s.geojson", "--json").json["ground"] == {
        "active_conflict": [[10.0, 50.0, 12.0, 51.0]],
        "stable_rear": [[178.0, -18.0, 180.0, -16.5], [-180.0, -18.0, -179.0, -16.5]],
    }


def test_an_id_in_two_files_is_refused(call: Call, tmp_path: Path) -> None:
    files = [write_geojson(tmp_path / name, NORTH) for name in ("a.geojson", "b.geojson")]
    result = call("sectors", "load", *files)
    assert result.code == 2
    assert "b.geojson: sector_id 'north' is already that of a sector in another file" in result.error


def test_a_feature_without_geometry_is_named(call: Call, tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "s.geojson", NORTH, SOUTH)
    document = json.loads(path.read_text())
    document["features"][0]["geometry"] = None
    path.write_text(json.dumps(document))
    assert call("sectors", "load", path).out.splitlines()[:2] == [
        "north has no geometry and was left out",
        "1 sector loaded",
    ]
    facts = call("sectors", "load", path, "--json").json
    assert (facts["loaded"], facts["without_geometry"]) == (1, ["north"])


def test_a_sector_is_its_shape_not_its_box(call: Call, days_ago: DaysAgo, tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "s.geojson", NORTH)
    document = json.loads(path.read_text())
    rings = document["features"][0]["geometry"]["coordinates"]
    rings.append([[10.5, 50.2], [11.5, 50.2], [11.5, 50.8], [10.5, 50.8], [10.5, 50.2]])
    path.write_text(json.dumps(document))
    assert call("sectors", "load", path).code == 0

    def decision(lat: str, lon: str, zoom: str) -> str:
        facts = call("explain", lat, lon, days_ago(200), "--zoom", zoom, "--json").json
        return str(facts["decision"])

    assert decision("50.1", "10.2", "14") == "reject"
    assert decision("50.5", "11.0", "14") == "accept"
    assert decision("50.5", "11.0", "8") == "reject"  # a tile that reaches beyond the hole


@pytest.mark.parametrize(
    ("age", "lat", "decision", "sector"),
    [
        (179, "50.7", "accept", "north"),
        (181, "50.7", "reject", "north"),
        (364, "45.0", "accept", "south"),
        (366, "45.0", "downgrade", "south"),
        (181, "50.2", "reject", "north"),
        (400, "10.0", "downgrade", None),
    ],
    ids=["young in conflict", "old in conflict", "young in rear", "old in rear", "in both", "in none"],
)
def test_explain_says_what_the_gate_decides_and_why(
    call: Call,
    load_sectors: LoadSectors,
    days_ago: DaysAgo,
    monkeypatch: pytest.MonkeyPatch,
    age: int,
    lat: str,
    decision: str,
    sector: str | None,
) -> None:
    load_sectors(NORTH, SOUTH)
    late = datetime.fromisoformat(days_ago(0)).replace(hour=23, minute=59, tzinfo=timezone.utc)
    monkeypatch.setattr(SystemClock, "now", lambda _: late)  # no midnight in between
    facts = call("explain", lat, "11.0", days_ago(age), "--zoom", "12", "--json").json
    assert (facts["decision"], facts["sector"]) == (decision, sector)
    assert facts["age_seconds"] // 86_400 == age
    assert facts["max_age_seconds"] == (180 if sector == "north" else 365) * 86_400


def test_explain_speaks_to_a_person(call: Call, load_sectors: LoadSectors, days_ago: DaysAgo) -> None:
    load_sectors(NORTH)
    out = call("explain", "50.5", "11", days_ago(200), "--zoom", "12").out
    assert [line.split(maxsplit=1)[0] for line in out.splitlines()] == [
        "tile",
        "decision",
        "sector",
        "rule",
        "age",
    ]
    assert "reject" in out
    assert "active_conflict allows 180.0 days" in out


def test_explain_reads_southern_and_western_places(call: Call, days_ago: DaysAgo) -> None:
    facts = call("explain", "-33.9", "-151.2", days_ago(1), "--zoom", "12", "--json").json
    assert (facts["lat"], facts["lon"]) == (-33.9, -151.2)


def test_explain_touches_no_tile(call: Call, days_ago: DaysAgo, tmp_path: Path) -> None:
    call("explain", "0", "0", days_ago(1), "--zoom", "12")
    assert not (tmp_path / "aerotile-data/tiles").exists()


def test_explain_agrees_with_what_an_ingest_does(
    call: Call, load_sectors: LoadSectors, days_ago: DaysAgo, xyz_folder: Callable[..., Path]
) -> None:
    # Tile 7/68/43 lies over 11.25..14.06 east, 48.9..50.7 north, so it touches the sector.
    folder = xyz_folder(zoom=7, x=68, count=1)
    (folder / "7/68/0.jpg").rename(folder / "7/68/43.jpg")
    load_sectors(NORTH)
    # The place lies outside of the sector, the tile does not.
    place = ("explain", "49.5", "13.0", days_ago(200), "--json")
    facts = call(*place, "--zoom", "7").json
    assert (facts["tile"], facts["decision"], facts["sector"]) == ("7/68/43", "reject", "north")
    assert call(*place, "--zoom", "12").json["decision"] == "accept"
    result = call("ingest", "tiles", "--captured-at", days_ago(200))
    assert result.code == 1
    assert "tile imported/7/68/43 is 200 days old; active_conflict allows 180 days" in result.err


def test_the_default_classification_is_configurable(call: Call, days_ago: DaysAgo) -> None:
    facts = call(
        "explain",
        "0",
        "0",
        days_ago(200),
        "--zoom",
        "0",
        "--json",
        AEROTILE_FRESHNESS_DEFAULT_CLASSIFICATION="active_conflict",
    ).json
    assert (facts["decision"], facts["classification"]) == ("reject", "active_conflict")


def test_status_counts_the_stored_tiles_that_other_sectors_judge_otherwise(
    call: Call, load_sectors: LoadSectors, days_ago: DaysAgo, xyz_folder: Callable[..., Path]
) -> None:
    folder = xyz_folder(zoom=7, x=68, count=2)
    (folder / "7/68/0.jpg").rename(folder / "7/68/43.jpg")
    assert call("ingest", "tiles", "--captured-at", days_ago(200)).code == 0

    def changed() -> object:
        return call("status", "--json").json["sectors"]["changed_verdicts"]

    assert changed() == {"count": 0, "to_accept": 0, "to_downgrade": 0, "to_reject": 0}
    load_sectors(NORTH)
    assert changed() == {"count": 1, "to_accept": 0, "to_downgrade": 0, "to_reject": 1}
    assert "count: 1, to_accept: 0, to_downgrade: 0, to_reject: 1" in call("status").out
