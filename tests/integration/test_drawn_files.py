"""Routes and areas from the files that operators draw them in, and what of a file is neither."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from drawn_files import LINE_KML, POLYGON_KML, geojson, gpx, item, kml, plan, waypoints

from aerotile.adapters.input_files.area_files import parse_boxes, read_area, read_route
from aerotile.adapters.input_files.errors import InputFileError
from aerotile.adapters.input_files.quantities import parse_distance, parse_speed
from aerotile.domain.values.corridors import Corridor
from aerotile.domain.values.shapes import MultiPolygon, Polygon
from aerotile.domain.values.tile_grid import Bbox

LINE = {"type": "LineString", "coordinates": [[11, 48, 500], [11.5, 48.25], [12, 48.5]]}
BOX = {"type": "Polygon", "coordinates": [[[10, 50], [12, 50], [12, 51], [10, 51], [10, 50]]]}
POINTS = ((11.0, 48.0), (11.5, 48.25), (12.0, 48.5))
TRIANGLE = Polygon([[(10, 50), (12, 50), (11, 51)], [(10.9, 50.2), (11.1, 50.2), (11, 50.4)]])


@pytest.fixture
def drawn(tmp_path: Path) -> Any:
    def write(content: str | bytes, name: str = "route") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


ROUTE_FILES = {
    "geojson": geojson(LINE),
    "geojson geometry": json.dumps(LINE),
    "geojson feature": json.dumps({"type": "Feature", "geometry": LINE, "properties": None}),
    "geojson collection": geojson({"type": "GeometryCollection", "geometries": [LINE]}),
    "geojson with a byte order mark": "\ufeff" + geojson(LINE),
    "kml": kml(LINE_KML),
    "kml 2.1": kml(LINE_KML).replace("http://www.opengis.net/kml/2.2", "http://earth.google.com/kml/2.1"),
    "kml without a namespace": kml(LINE_KML).replace(' xmlns="http://www.opengis.net/kml/2.2"', ""),
    "kml with spaces and blank lines": "\n\n" + kml(LINE_KML.replace(",", " , ")),
    "kml in utf-16": kml(LINE_KML).replace("UTF-8", "UTF-16").encode("utf-16"),
    "gpx route": gpx('<rte><rtept lat="48" lon="11"><ele>5</ele></rtept><rtept lat="48.25" lon="11.5"/>'
                     '<rtept lat="48.5" lon="12"/></rte>'),
    "plan": plan(item(22, 48.0, 11.0), item(16, 48.25, 11.5), item(16, 48.5, 12.0), home=(0, 0, 0)),
    "waypoints": waypoints((3, 16, 48.25, 11.5), (10, 16, 48.5, 12.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUTE_FILES)
def test_every_format_gives_the_same_route(name: str, drawn: Any) -> None:
    assert read_route(drawn(ROUTE_FILES[name])).route.points == POINTS


def test_a_kmz_is_the_kml_in_it(drawn: Any) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("files/icon.png", b"")
        archive.writestr("doc.kml", kml(LINE_KML))
    assert read_route(drawn(packed.getvalue())).route.points == POINTS


def test_times_of_tracks_are_read_and_segments_are_one_track(drawn: Any) -> None:
    points = [
        f'<trkpt lat="{lat}" lon="11"><time>2026-06-01T08:{minute}:00Z</time></trkpt>'
        for lat, minute in ((48, 10), (49, 11), (50, 20), (51, 21))
    ]
    segments = "".join(f"<trkseg>{one}{two}</trkseg>" for one, two in (points[:2], points[2:]))
    found = read_route(drawn(gpx(f"<trk><name>survey</name>{segments}</trk><wpt lat='1' lon='2'/>")))
    assert found.route.name == "survey"
    assert [lat for _, lat in found.route.points] == [48, 49, 50, 51]
    assert [time.minute for time in found.route.times] == [10, 11, 20, 21]
    assert found.route.times[0] == datetime(2026, 6, 1, 8, 10, tzinfo=timezone.utc)
    assert found.left_out == {"single place": 1}


@pytest.mark.parametrize("times", [("08:00", "07:00"), ("08:00", None), ("08:00", "noon")])
def test_times_that_are_missing_or_go_back_do_not_count_and_are_named(times: Any, drawn: Any) -> None:
    written = ["" if time is None else f"<time>2026-06-01T{time}:00Z</time>" for time in times]
    points = "".join(f'<rtept lat="{i}" lon="1">{time}</rtept>' for i, time in enumerate(written))
    found = read_route(drawn(gpx(f"<rte>{points}</rte>")))
    assert found.route.times == ()
    assert found.left_out == {"line's times, not all of which are there and in order": 1}


def test_a_track_of_google_s_extensions_is_read(drawn: Any) -> None:
    track = (
        '<gx:Track xmlns:gx="http://www.google.com/kml/ext/2.2"><when>2026-06-01T08:00:00Z</when>'
        "<when>2026-06-01T09:00:00Z</when><gx:coord>11 48 5</gx:coord><gx:coord>12 49 5</gx:coord></gx:Track>"
    )
    route = read_route(drawn(kml(track))).route
    assert route.points == ((11, 48), (12, 49))
    assert [time.hour for time in route.times] == [8, 9]


def test_times_beside_a_geojson_line_are_read(drawn: Any) -> None:
    times = [f"2026-06-01T0{hour}:00:00Z" for hour in (7, 8, 9)]
    assert [time.hour for time in read_route(drawn(geojson(LINE, coordTimes=times))).route.times] == [7, 8, 9]


def test_several_lines_are_flown_one_after_the_other(drawn: Any) -> None:
    found = read_route(
        drawn(kml(LINE_KML, "<LineString><coordinates>13,49 14,49</coordinates></LineString>"))
    )
    assert found.lines == 2
    assert found.route.points == (*POINTS, (13, 49), (14, 49))


def test_a_plan_flies_surveys_and_landings_and_counts_the_rest(drawn: Any) -> None:
    survey = {
        "type": "ComplexItem", "complexItemType": "survey", "polygon": [[1, 1], [1, 2], [2, 2]],
        "TransectStyleComplexItem": {"VisualTransectPoints": [[48.25, 11.5], [48.5, 12.0]], "Items": []},
    }  # fmt: skip
    landing = {
        "type": "ComplexItem", "complexItemType": "fwLandingPattern",
        "landingApproachCoordinate": [48.4, 11.4, 40], "landCoordinate": [48.0, 11.0, 0],
    }  # fmt: skip
    empty = {"type": "ComplexItem", "complexItemType": "CorridorScan", "TransectStyleComplexItem": {}}
    found = read_route(
        drawn(plan(item(22, 0, 0), item(178, 0, 0, 2), survey, item(112, 0, 0, 2), landing, empty))
    )
    assert found.route.points == (*POINTS, (11.4, 48.4), (11.0, 48.0))
    assert found.route.speed_m_s == 20.0
    assert found.left_out == {
        "rally point": 2,
        "polygon of the geofence": 1,
        "complex item 'CorridorScan' without points": 1,
        "item without a position (0,0)": 1,
        "DO command": 1,
        "CONDITION command": 1,
    }


def test_a_multirotor_flies_at_its_hover_speed(drawn: Any) -> None:
    assert read_route(drawn(plan(item(16, 48.1, 11.1), vehicleType=2))).route.speed_m_s == 5.0


def test_a_waypoint_file_begins_at_home_returns_there_and_counts_what_leads_nowhere(drawn: Any) -> None:
    text = waypoints(
        (3, 22, 0.0, 0.0), (3, 16, 48.25, 11.5), (2, 177, 0.0, 0.0), (2, 112, 0.0, 0.0), (3, 16, 0.0, 0.0),
        (2, 5001, 48.0, 11.0), (3, 20, 0.0, 0.0),
    )  # fmt: skip
    found = read_route(drawn(text))
    assert found.route.points == ((11.0, 48.0), (11.5, 48.25), (11.0, 48.0))
    assert found.left_out == {
        "item without a position (0,0)": 2,
        "DO command": 1,
        "CONDITION command": 1,
        "fence or rally point": 1,
    }


def test_a_home_that_is_unknown_is_no_place(drawn: Any) -> None:
    found = read_route(drawn(waypoints((3, 16, 48.0, 11.0), (3, 16, 48.1, 11.0), (3, 20, 0, 0), home=(0, 0))))
    assert found.route.points == ((11.0, 48.0), (11.0, 48.1))
    assert found.left_out == {
        "home without a position (0,0)": 1,
        "return to a home that is unknown": 1,
    }


def test_an_area_is_made_of_polygons_boxes_and_corridors(drawn: Any) -> None:
    path = drawn(kml(POLYGON_KML, LINE_KML, "<Point><coordinates>1,2</coordinates></Point>", ""), "area.kml")
    found = read_area([path, "10,50,11,51"], corridor_m=5_000, zooms=[15])
    assert found.area.shapes == (TRIANGLE, Corridor(POINTS, 5_000), Bbox(50, 10, 51, 11))
    assert found.area.zooms == {15}
    assert found.left_out == {"area.kml: placemark without geometry": 1, "area.kml: single place": 1}


def test_several_polygons_of_a_placemark_are_all_there(drawn: Any) -> None:
    found = read_area([drawn(kml(f"<MultiGeometry>{POLYGON_KML}{POLYGON_KML}</MultiGeometry>"))])
    assert found.area.shapes == (TRIANGLE, TRIANGLE)
    multi = {"type": "MultiPolygon", "coordinates": [BOX["coordinates"], [[[0, 0], [1, 0], [0, 1], [0, 0]]]]}
    assert isinstance(read_area([drawn(geojson(multi))]).area.shapes[0], MultiPolygon)


def test_single_places_are_circles_where_there_is_nothing_else(drawn: Any) -> None:
    found = read_area([drawn(gpx('<wpt lat="48" lon="11"/>'))], corridor_m=300)
    assert found.area.shapes == (Corridor([(11, 48)], 300),)


def test_a_line_needs_the_width_of_its_corridor(drawn: Any) -> None:
    with pytest.raises(InputFileError, match="1 line without a width") as caught:
        read_area([drawn(kml(LINE_KML))])
    assert "--corridor 5km" in str(caught.value.remedy)


def test_a_corridor_needs_a_line(drawn: Any) -> None:
    for sources in ([drawn(kml(POLYGON_KML))], ["10,50,11,51"]):
        with pytest.raises(InputFileError, match="no line there that a corridor goes along") as caught:
            read_area(sources, corridor_m=5_000)
        assert "leave the corridor out" in str(caught.value.remedy)


def test_a_box_whose_west_and_east_are_exchanged_is_no_belt_around_the_world() -> None:
    with pytest.raises(ValueError, match=r"begins east of its end and reaches 359\.6 degrees"):
        parse_boxes("11.8,48.0,11.4,48.3")


def test_a_box_over_the_antimeridian_is_two() -> None:
    assert parse_boxes("170,-10,-170,10") == (Bbox(-10, 170, 10, 180), Bbox(-10, -180, 10, -170))
    assert parse_boxes("90,-10,-90,10") == (Bbox(-10, 90, 10, 180), Bbox(-10, -180, 10, -90))
    assert parse_boxes("route.kml") is None
    with pytest.raises(ValueError, match="min_lat"):
        parse_boxes("0,10,1,5")


@pytest.mark.parametrize(
    ("text", "metres"),
    [("5km", 5_000), ("3nm", 5_556), ("3 NM", 5_556), ("500m", 500), (" 0.5 km ", 500), ("-5km", -5_000)],
)
def test_a_distance_is_read_with_its_unit(text: str, metres: float) -> None:
    assert parse_distance(text) == pytest.approx(metres)


@pytest.mark.parametrize(
    "text", ["5", "", "km", "5 miles", "5mm", "nan km", "1e3m", "5,5km", "9" * 400 + "m"]
)
def test_a_distance_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a distance has a unit"):
        parse_distance(text)


def test_a_speed_is_read_with_its_unit() -> None:
    assert [parse_speed(text) for text in ("25m/s", "90 km/h", "50kt")] == pytest.approx([25, 25, 25.722222])
    with pytest.raises(ValueError, match="a speed has a unit"):
        parse_speed("25")


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE kml [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    '<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><name>&b;</name></Placemark></kml>'
)
OUTSIDE = '<!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/passwd">]><gpx><rte><name>&x;</name></rte></gpx>'


def line(*points: list[float]) -> str:
    return geojson({"type": "LineString", "coordinates": list(points)})


def line_kml(coordinates: str) -> str:
    return kml(f"<name>A</name><LineString><coordinates>{coordinates}</coordinates></LineString>")


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "it is empty"),
    "nonsense": ("hello", "it is not GeoJSON"),
    "cut json": ('{"type": ', "it is no JSON"),
    "list": ("[]", "it is no GeoJSON but a list"),
    "other json": ('{"type": "Topology"}', "not GeoJSON but TopoJSON"),
    "no features": ('{"type": "FeatureCollection", "features": []}', "it has no features"),
    "metres": (line([500000, 5e6], [1, 2]), "metres of a projection"),
    "turned": (line([48, 111], [1, 2]), "latitude 111"),
    "no geometry": (geojson(None), "no line to fly along (1 x feature without geometry)"),
    "one point": (line([1, 2]), "1 x line of a single point"),
    "polygons": (geojson(BOX), "no line to fly along (1 x polygon)"),
    "too long": (line([0, 0], [170, 0]), "put a point between them"),
    "bad geometry": (geojson({"type": "Line", "coordinates": []}), "feature 1: its geometry is no geometry"),
    "null coordinates": (geojson({"type": "LineString", "coordinates": None}), "feature 1"),
    "entities": (LAUGHS, "declares a document type"),
    "outside entities": (OUTSIDE, "declares a document type"),
    "deep": ("<kml>" + "<Folder>" * 200, "nested too deeply"),
    "cut xml": ("<kml><Document>", "no well-formed XML"),
    "unknown encoding": ('<?xml version="1.0" encoding="klingon"?><kml/>', "no well-formed XML"),
    "other xml": ("<osm/>", "no KML and no GPX but XML with the root 'osm'"),
    "html": ("<!DOCTYPE html><html></html>", "HTML page"),
    "kml words": (line_kml("a,b"), "placemark 1 ('A')"),
    "kml no numbers": (line_kml("11"), "'11' is no longitude"),
    "kml nothing": (line_kml(""), "no coordinates"),
    "kml underscore": (line_kml("1_1,1 2,3"), "'1_1' is no number of degrees"),
    "kml arabic": (line_kml("\u0661,1 2,3"), "'\u0661' is no number of degrees"),
    "kml nan": (line_kml("nan,1 2,3"), "no number of degrees"),
    "gpx no lat": (gpx("<rte><rtept/></rte>"), "a rtept has no lat and lon"),
    "gpx nothing": (gpx(""), "no line to fly along"),
    "not a zip": (b"PK\3\4nonsense", "it is no KMZ"),
    "shapefile": (b"\0\0\x27\x0a" + bytes(96), "it is a shapefile"),
    "sqlite": (b"SQLite format 3\0" + bytes(96), "GeoPackage"),
    "plan of nothing": ('{"fileType": "Plan"}', "its mission has no items"),
    "plan of words": (plan("a"), "item 1: it is no item"),
    "plan of bad items": (plan({"type": "SimpleItem", "command": "x"}), "item 1: command 'x'"),
    "plan in metres": (plan(item(16, 48, 11, frame=1)), "metres from the take-off (MAV_FRAME 1)"),
    "plan beyond every number": (plan(item(16, 10**400, 11)), "is no longitude and latitude"),
    "plan of a fence": (plan(), "no line to fly along"),
    "short columns": ("QGC WPL 110\n0 1 0\n", "line 2: an item has 12 columns, this one has 3"),
    "words": ("QGC WPL 110\n" + "\t".join("abcdefghijkl"), "line 2: it is no item"),
    "underscore": (waypoints((3, 16, 48.0, 11.0)).replace("11.0", "1_1.0"), "line 2: it is no item"),
    "no items": ("QGC WPL 110\n", "no line to fly along (1 x line without a point)"),
    "latitude": (waypoints((3, 16, 95.0, 11.0)), "latitude 95"),
    "binary": (b"QGC WPL 110\n\xff\xff", "it is no text"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_something_else_is_refused_in_one_line(name: str, drawn: Any) -> None:
    content, message = BAD_FILES[name]
    path = drawn(content)
    with pytest.raises(InputFileError) as caught:
        read_route(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in caught.value.explained
    assert caught.value.remedy


def test_a_packed_file_that_is_too_large_is_refused(drawn: Any) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("doc.kml", b" " * ((64 << 20) + 1))
    with pytest.raises(InputFileError, match="too large"):
        read_route(drawn(packed.getvalue()))


@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="needs GDAL's programs")
@pytest.mark.parametrize(
    ("driver", "name"), [("KML", "a.kml"), ("LIBKML", "b.kmz"), ("GPX", "c.gpx"), ("GeoJSON", "d.geojson")]
)
def test_what_gdal_writes_is_read(driver: str, name: str, drawn: Any, tmp_path: Path) -> None:
    source, target = drawn(geojson(LINE, name="out"), "in.geojson"), tmp_path / name
    wrote = subprocess.run(["ogr2ogr", "-f", driver, target, source], capture_output=True, text=True)
    if "Unable to find driver" in wrote.stderr:
        pytest.skip(f"this GDAL has no {driver}")
    points = read_route(target).route.points
    assert points == tuple(pytest.approx(point) for point in POINTS)
