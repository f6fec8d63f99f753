from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aerotile.adapters.input_files.errors import InputFileError
from aerotile.adapters.input_files.geojson import GeoJsonError, parse_sectors
from aerotile.adapters.input_files.sector_files import read_sectors
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import MultiPolygon, Polygon
from aerotile.domain.values.tile_grid import Bbox

BOX = [[10.0, 50.0], [12.0, 50.0], [12.0, 51.0], [10.0, 51.0], [10.0, 50.0]]
TRIANGLE = [[10.0, 50.0], [12.0, 50.0], [11.0, 51.0], [10.0, 50.0]]
PROPERTIES = {"sector_id": "north", "classification": "active_conflict"}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": {**PROPERTIES, **properties}}


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def collection(*features: Any) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features)})


def refusal(text: str) -> str:
    with pytest.raises(GeoJsonError) as caught:
        parse_sectors(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_box_becomes_a_sector_as_it_is() -> None:
    read = parse_sectors(collection(feature(polygon(BOX))))
    assert read.sectors == (
        SectorBoundary("north", SectorClassification.ACTIVE_CONFLICT, Bbox(50.0, 10.0, 51.0, 12.0)),
    )
    assert read.without_geometry == ()


@pytest.mark.parametrize("place", [0, 1])
def test_a_coordinate_that_no_float_holds_is_refused(place: int) -> None:
    ring = [list(position) for position in BOX]
    ring[1][place] = 10**400  # type: ignore[assignment]  # an integer in JSON has no bound
    assert "feature 1: position" in refusal(collection(feature(polygon(ring))))


def shape_of(geometry: Any) -> Bbox | Polygon | MultiPolygon:
    (sector,) = parse_sectors(collection(feature(geometry))).sectors
    return sector.shape


def test_a_box_with_more_points_along_its_edges_is_still_a_box() -> None:
    ring = [[10, 50], [11, 50], [12, 50], [12, 50.5], [12, 51], [10, 51], [10, 50]]
    assert shape_of(polygon(ring)) == Bbox(50.0, 10.0, 51.0, 12.0)


@pytest.mark.parametrize(
    "rings",
    [
        [TRIANGLE],
        [BOX, [[10.5, 50.2], [11.0, 50.2], [11.0, 50.5], [10.5, 50.2]]],
        [[[10, 50], [12, 50], [11, 50.5], [12, 51], [10, 51], [11, 50.5], [10, 50]]],
    ],
    ids=["triangle", "hole", "touches itself"],
)
def test_a_polygon_is_kept_as_it_is(rings: Any) -> None:
    shape = shape_of(polygon(*rings))
    assert isinstance(shape, Polygon)
    assert [[list(point) for point in ring] for ring in shape.rings] == [ring[:-1] for ring in rings]


def test_a_multipolygon_is_one_sector() -> None:
    west = [[-180, 0], [-170, 0], [-170, 5], [-180, 5], [-180, 0]]
    east = [[170, 0], [180, 0], [175, 5], [170, 0]]
    shape = shape_of({"type": "MultiPolygon", "coordinates": [[west], [east]]})
    assert shape == MultiPolygon([Polygon([west]), Polygon([east])])
    assert shape_of({"type": "MultiPolygon", "coordinates": [[west]]}) == Bbox(0.0, -180.0, 5.0, -170.0)


def test_the_whole_world_is_a_box() -> None:
    world = [[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]
    assert shape_of(polygon(world)) == Bbox(-90.0, -180.0, 90.0, 180.0)


def test_a_feature_without_geometry_is_left_out_and_named() -> None:
    unnamed = feature(None)
    del unnamed["properties"]["sector_id"]
    read = parse_sectors(collection(feature(polygon(BOX)), feature(None, sector_id="south"), unnamed))
    assert [sector.sector_id for sector in read.sectors] == ["north"]
    assert read.without_geometry == ("south", "feature 3")
    assert refusal(collection(feature(None))) == "none of its 1 features has a geometry"


@pytest.mark.parametrize(
    ("own_id", "sector_id", "name"),
    [(None, 17, "17"), (17.0, None, "17"), ("n/1", None, "n/1"), ("a", "b", "b"), (None, -3, "-3")],
)
def test_whole_numbers_and_geojson_s_own_id_name_a_sector(own_id: Any, sector_id: Any, name: str) -> None:
    named = feature(polygon(BOX), sector_id=sector_id)
    (sector,) = parse_sectors(collection({**named, "id": own_id})).sectors
    assert sector.sector_id == name


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (
            {"fileType": "Plan", "groundStation": "QGroundControl", "geoFence": {}, "mission": {}},
            "QGroundControl",
        ),
        (
            {
                "title": "zones",
                "features": [{"identifier": "Z1", "geometry": [{"horizontalProjection": {}}]}],
            },
            "ED-269",
        ),
        (
            {
                "geometryType": "esriGeometryPolygon",
                "spatialReference": {"wkid": 4326},
                "features": [{"attributes": {}, "geometry": {"rings": []}}],
            },
            "Esri JSON",
        ),
        ({"type": "Topology", "objects": {}}, "TopoJSON"),
    ],
)
def test_another_program_s_file_is_named_as_what_it_is(document: Any, named: str) -> None:
    message = refusal(json.dumps(document))
    assert message.startswith("not GeoJSON but ")
    assert named in message


@pytest.mark.parametrize(
    "position", [[1_335_833.9, 6_446_275.8], [691_608, 5_334_763], [4_468_503, 5_333_317], [361, 50]]
)
def test_metres_are_recognised(position: Any) -> None:
    message = refusal(collection(feature(polygon([position, *BOX[1:-1], position]))))
    assert "looks like metres" in message
    assert "EPSG:4326" in message


@pytest.mark.parametrize(
    "ring",
    [
        [[179, 0], [-179, 0], [-179, 5], [179, 5], [179, 0]],
        [[179, 0], [181, 0], [181, 5], [179, 5], [179, 0]],
        [[178, 0], [180, 0], [-180, 0], [-178, 0], [-178, 5], [-180, 5], [180, 5], [178, 5], [178, 0]],
    ],
    ids=["wrapped", "unwrapped", "with points at both of its longitudes"],
)
def test_a_polygon_across_the_antimeridian_is_refused(ring: Any) -> None:
    message = refusal(collection(feature(polygon(ring))))
    assert message.startswith("feature 1: ")
    assert "antimeridian" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("lat,lon\n1,2", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a FeatureCollection but 'a list'"),
        ('{"type": "Feature"}', "not a FeatureCollection but 'Feature'"),
        ('{"type": "FeatureCollection"}', "it has no features"),
        ('{"type": "FeatureCollection", "features": []}', "it has no features"),
        ('{"type": "FeatureCollection", "features": {}}', "it has no features"),
        (collection(1), "feature 1: not a Feature"),
        (collection({"type": "Feature", "geometry": polygon(BOX)}), "feature 1: it has no properties"),
        (collection(feature("")), "feature 1: its geometry must be a Polygon or MultiPolygon"),
        (collection(feature({"type": "Point", "coordinates": [1, 2]})), "got 'Point'"),
        (collection(feature({"type": "Polygon"})), "a polygon must be a non-empty list of rings"),
        (collection(feature({"type": "MultiPolygon", "coordinates": []})), "has no coordinates"),
        (collection(feature(polygon(BOX[:3]))), "four or more positions"),
        (collection(feature(polygon(BOX[:4]))), "must end where it begins"),
        (collection(feature(polygon([[0, 0]] * 4))), "has no area"),
        (collection(feature(polygon([["a", 0], *BOX[1:]]))), "must hold numbers"),
        (collection(feature(polygon([[True, 0], *BOX[1:]]))), "must hold numbers"),
        (collection(feature(polygon([[1], *BOX[1:]]))), "must be [longitude, latitude]"),
        (collection(feature(polygon([[50, 100], *BOX[1:]]))), "latitude 100 is not within"),
        (collection(feature(polygon(BOX), sector_id="")), "sector_id must be"),
        (collection(feature(polygon(BOX), sector_id=7.5)), "sector_id must be"),
        (collection(feature(polygon(BOX), sector_id=True)), "sector_id must be"),
        (collection(feature(polygon(BOX), sector_id=None)), "no sector_id among its properties, and no id"),
        (collection(feature(polygon(BOX)), feature(None, sector_id=[])), "feature 2: sector_id must be"),
        (collection(feature(polygon(BOX), sector_id="a\u001b[31m")), "sector_id must be"),
        (collection(feature(polygon(BOX), sector_id="n" * 201)), "longer than 200"),
        (collection(feature(polygon(BOX), classification="quiet")), "classification must be one of"),
        (collection(feature(polygon(BOX), classification=["x"])), "classification must be one of"),
    ],
)
def test_what_is_no_geojson_of_sectors_is_refused_in_one_line(text: str, message: str) -> None:
    assert message in refusal(text)


@pytest.mark.parametrize("name", ["crs", "features", "type"])
def test_nesting_around_the_interpreter_s_limit_is_refused(name: str) -> None:
    """What can just be read may be too deep to be looked at."""
    good = json.loads(collection(feature(polygon([[1, 2], [3, 2], [3, 4], [1, 4], [1, 2]]))))
    for depth in range(900, 1000):
        text = json.dumps(good | {name: "deep"}).replace('"deep"', "[" * depth + "]" * depth)
        refusal(text)


def test_numbers_that_are_not_json_are_refused() -> None:
    text = collection(feature(polygon([[float("nan"), 0], *BOX[1:]])))
    assert "NaN is not a JSON number" in refusal(text)


def test_an_id_that_comes_twice_is_refused_with_both_places() -> None:
    text = collection(feature(polygon(BOX)), feature(polygon(BOX)))
    assert refusal(text) == "feature 2: sector_id 'north' is already that of feature 1"


def with_crs(where: str, **properties: str) -> str:
    document = json.loads(collection(feature(polygon(BOX))))
    places = {"collection": document, "feature": document["features"][0]}
    places["geometry"] = places["feature"]["geometry"]
    places[where]["crs"] = {"type": "name", "properties": properties}
    return json.dumps(document)


@pytest.mark.parametrize("where", ["collection", "feature", "geometry"])
@pytest.mark.parametrize(
    "properties",
    [
        {"name": "urn:ogc:def:crs:EPSG::3857"},
        {"name": "EPSG:43260"},
        {"name": "EPSG:14326"},
        {"name": "EPSG:3857", "remark": "no longer EPSG:4326"},
        {"href": "http://example.com/crs/4326"},
    ],
    ids=["another", "a longer number", "a number that ends so", "a remark", "a link"],
)
def test_another_coordinate_system_is_refused(where: str, properties: dict[str, str]) -> None:
    assert "its crs is not WGS 84" in refusal(with_crs(where, **properties))


@pytest.mark.parametrize(
    "name",
    [
        "EPSG:4326",
        "epsg:4326",
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "urn:ogc:def:crs:OGC::CRS84h",
        "urn:ogc:def:crs:EPSG::4326",
        "urn:ogc:def:crs:EPSG:9.8.6:4979",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
    ],
)
def test_wgs_84_by_its_names_is_no_other_coordinate_system(name: str) -> None:
    assert parse_sectors(with_crs("collection", name=name)).sectors[0].shape == Bbox(50.0, 10.0, 51.0, 12.0)


def test_a_member_that_comes_twice_is_refused() -> None:
    text = collection(feature(polygon(BOX)))
    twice = text.replace('"classification": ', '"classification": "stable_rear", "classification": ')
    assert refusal(twice) == "not JSON: 'classification' comes twice in one object"


@pytest.mark.parametrize(
    ("rings", "message"),
    [
        ([[[10, 50], [12, 51], [12, 50], [10, 51], [10, 50]]], "crosses itself near [11, 50.5]"),
        ([[*TRIANGLE[:-1], *TRIANGLE]], "runs twice along one line"),
        ([TRIANGLE, TRIANGLE], "runs twice along one line"),
        ([TRIANGLE, [[10.9, 50.2], [12.5, 50.2], [12.5, 50.3], [10.9, 50.2]]], "crosses itself"),
        (
            [BOX, [[20, 50], [21, 50], [21, 51], [20, 50]]],
            "hole 1 lies outside of the outer ring, near [20, 50]",
        ),
        (
            [
                BOX,
                [[10.2, 50.2], [11.8, 50.2], [11, 50.8], [10.2, 50.2]],
                [[10.9, 50.3], [11.1, 50.3], [11, 50.4], [10.9, 50.3]],
            ],
            "hole 2 lies in its hole 1",
        ),
    ],
    ids=[
        "bow tie",
        "twice around",
        "hole as the outer ring",
        "hole across the border",
        "hole elsewhere",
        "hole in a hole",
    ],
)
def test_rings_that_outline_no_ground_are_refused(rings: Any, message: str) -> None:
    assert message in refusal(collection(feature(polygon(*rings))))


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sectors.geojson"
    path.write_text("nonsense")
    with pytest.raises(InputFileError, match=r"sectors\.geojson: not JSON"):
        read_sectors(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputFileError, match=r"sectors\.geojson is not GeoJSON"):
        read_sectors(path)
