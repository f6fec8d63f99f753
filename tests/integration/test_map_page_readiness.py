"""A route that is sent to the map page: what is judged, what is drawn, what is refused."""

from __future__ import annotations

import io
import json
import socket
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timezone

import httpx
import numpy as np
import pytest
from disk_faults import files_below
from map_sites import FIRST, LAST, ZOOM, MapSite, client_of
from random_seed import random_of
from waiting import until

from aerotile.adapters.map_page import bodies
from aerotile.adapters.map_page.application import MOST_ROUTES
from aerotile.adapters.map_page.readiness import MOST_ROUTE_BYTES, cells_of_zoom, lines_of
from aerotile.domain.readiness.flight_plan import FlightPlan, wanted_tiles
from aerotile.domain.readiness.report import Readiness
from aerotile.domain.values.routes import Route

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
POINTS = [(FIRST.min_lon + 0.1, FIRST.max_lat - 0.1), (LAST.min_lon + 0.1, LAST.min_lat + 0.1)]
ASKED = {"name": "way.json", "corridor": "1km", "zooms": f"{ZOOM - 1}-{ZOOM}", "at": "2026-06-01"}


def line(points: list[tuple[float, float]]) -> bytes:
    return json.dumps({"type": "LineString", "coordinates": points}).encode()


@pytest.fixture(scope="module")
def client(flown_site: MapSite) -> Iterator[httpx.Client]:
    with client_of(flown_site) as client:
        yield client


def test_a_route_is_judged_with_its_line_and_cells_and_nothing_is_changed(
    client: httpx.Client, flown_site: MapSite
) -> None:
    before = files_below(flown_site.root)
    answer = client.post("/ready", params=ASKED, content=line(POINTS))
    assert answer.status_code == 200
    facts = answer.json()
    assert files_below(flown_site.root) == before
    assert (facts["go"], facts["take_off"]) == (False, "2026-06-01T00:00:00+00:00")
    assert facts["kinds"] == ["ready", "not checked", "undescribed", "stale", "damaged", "missing"]
    plan = FlightPlan(Route(POINTS), 1_000.0, (ZOOM - 1, ZOOM), NOW)
    wanted = wanted_tiles(plan)
    for cells in facts["cells"]:
        assert cells["cell_zoom"] == cells["zoom"]
        drawn = {(x, y) for y, first, last, _ in cells["rows"] for x in range(first, last + 1)}
        of_zoom = wanted.zoom == cells["zoom"]
        assert drawn == set(zip(wanted.x[of_zoom].tolist(), wanted.y[of_zoom].tolist(), strict=True))
        assert {rank for *_, rank in cells["rows"]} == {2}  # undescribed, which is worse than not checked
    (leg,) = facts["legs"]
    (drawn_line,) = leg["lines"]
    for place, (lon, lat) in ((drawn_line[0], POINTS[0]), (drawn_line[-1], POINTS[1])):
        assert place == pytest.approx([lat, lon], abs=1e-6)


def test_diversions_behind_the_route_are_judged_and_told_from_it(client: httpx.Client) -> None:
    route, field = line(POINTS), line([POINTS[1], (POINTS[1][0] + 0.05, POINTS[1][1])])
    told = json.dumps([["field.json", len(field)], ["back.json", len(route)]])
    answer = client.post("/ready", params={**ASKED, "diversions": told}, content=route + field + route)
    legs = answer.json()["legs"]
    assert [(leg["route"], leg["diversion"]) for leg in legs] == [
        ("way", False), ("field", True), ("back", True)
    ]  # fmt: skip
    assert legs[1]["lines"][0][-1] == pytest.approx([POINTS[1][1], POINTS[1][0] + 0.05], abs=1e-6)
    assert all(leg["begins_at"] >= legs[0]["ends_at"] for leg in legs[1:])


def test_a_file_that_is_slow_to_arrive_keeps_no_other_from_being_judged(client: httpx.Client) -> None:
    place = client.base_url
    head = f"POST /ready?corridor=1km&zooms=9 HTTP/1.1\r\nHost: {place.host}\r\nContent-Length: 99\r\n\r\n{{"
    with ExitStack() as stack:

        def begin_one() -> None:
            slow = stack.enter_context(socket.create_connection((place.host, place.port), timeout=60))
            slow.sendall(head.encode())

        def status() -> int:
            return client.post("/ready", params=ASKED, content=line(POINTS)).status_code

        def is_full() -> bool:
            begin_one()
            return status() == 503

        for _ in range(MOST_ROUTES - 1):
            begin_one()
        assert status() == 200
        until(is_full)
        answer = client.post("/ready", params=ASKED, content=line(POINTS))
        assert answer.text == "16 routes are waiting to be judged; try again later\n"
    until(lambda: status() == 200)


def test_a_line_across_the_antimeridian_is_drawn_in_two_parts() -> None:
    (planned,) = FlightPlan(Route([(179.0, 50.0), (-178.0, 52.0)]), 1_000.0, (8,), NOW).legs()
    first, second = lines_of(planned)
    assert first[0] == pytest.approx([50.0, 179.0], abs=1e-6)
    assert second[-1] == pytest.approx([52.0, -178.0], abs=1e-6)
    assert all(lon > 0 for _, lon in first)
    assert all(lon < 0 for _, lon in second)
    assert abs(first[-1][0] - second[0][0]) < 0.1


@pytest.mark.parametrize("most", [10_000, 60, 1])
def test_a_cell_is_as_bad_as_its_worst_tile_and_none_is_left_out(most: int) -> None:
    random = random_of(f"cells {most}")
    points = [(random.uniform(-170, 170), random.uniform(-70, 70))]
    points.append((points[0][0] + random.uniform(-3, 3), points[0][1] + random.uniform(-3, 3)))
    plan = FlightPlan(Route(points), 5_000.0, (9, 10), NOW)
    wanted = wanted_tiles(plan)
    faults = np.array([random.choice((0, 1, 3, 6, 12, 16)) for _ in range(len(wanted))], np.uint8)
    found = Readiness((), (), (), wanted, faults, len(wanted.places))
    ranks = {0: 0, 1: 1, 3: 2, 6: 3, 12: 4, 16: 5}
    for zoom in (9, 10):
        cells = cells_of_zoom(found, zoom, most)
        assert len(cells["rows"]) <= most
        shift = zoom - cells["cell_zoom"]
        expected: dict[tuple[int, int], int] = {}
        for row in np.flatnonzero(wanted.zoom == zoom).tolist():
            cell = int(wanted.x[row]) >> shift, int(wanted.y[row]) >> shift
            expected[cell] = max(expected.get(cell, 0), ranks[int(faults[row])])
        drawn = [((x, y), rank) for y, first, last, rank in cells["rows"] for x in range(first, last + 1)]
        assert len(drawn) == len(expected)
        assert dict(drawn) == expected
        if shift:  # one level finer would be too many
            finer = cells_of_zoom(found, zoom, len(cells["rows"]))
            assert finer["cell_zoom"] == cells["cell_zoom"]


def kmz(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("doc.kml", content)
    return packed.getvalue()


HOSTILE = {
    "empty": (b"", "it is empty"),
    "entities": (b'<!DOCTYPE a [<!ENTITY b "c">]><gpx>&b;</gpx>', "it declares a document type"),
    "external": (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><gpx/>', "it declares a document type"),
    "nested": (b'{"type":' + b"[" * 100_000, "way.json: it is"),
    "packed": (kmz(b" " * ((64 << 20) + 1)), "too large"),
    "not a number": (line([(0, 0), (float("nan"), 1)]), "way.json: "),
    "off the globe": (line([(0, 0), (0, 91)]), "way.json: "),
    "one point": (line([(0, 0)]), "way.json"),
    "page": (b"<!doctype html><script>alert(1)</script>", "it is an HTML page"),
    "bytes": (bytes(range(256)) * 64, "way.json: it is not GeoJSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(client: httpx.Client, name: str) -> None:
    content, message = HOSTILE[name]
    answer = client.post("/ready", params=ASKED, content=content)
    assert (answer.status_code, message in answer.text) == (400, True), answer.text
    assert answer.text.count("\n") == 1
    assert len(answer.text) < 400
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corridor": None}, "corridor is missing"),
        ({"zooms": ""}, "zooms is missing"),
        ({"corridor": "5"}, "a distance has a unit"),
        ({"corridor": "5000km"}, "a corridor reaches more than 0 and at most"),
        ({"corridor": "9" * 50 + "km"}, "a distance has a unit"),
        ({"zooms": "23"}, "a zoom level is a whole number within 0..22, got '23'"),
        ({"zooms": "9" * 50}, "a zoom level is a whole number within 0..22"),
        ({"zooms": "9" * 6_000}, "zooms has more than 400 characters"),
        ({"name": "n" * 6_000}, "name has more than 400 characters"),
        ({"zooms": "17-15"}, "zoom levels go from the lower to the higher"),
        ({"zooms": "19", "corridor": "20km"}, "1000000 are the most here"),
        ({"zooms": "22", "corridor": "200km"}, "the most; ask for fewer zooms"),
        ({"at": "tomorrow"}, "at must be a date"),
        ({"at": "9999-12-31T23:59:00Z", "speed": "0.1m/s"}, "lasts too long"),
        ({"speed": "25"}, "a speed has a unit"),
        ({"speed": "9999km/h"}, "no aircraft flies a route at '9999km/h'"),
        ({"makes": "1"}, "no parameter 'makes' here"),
        ({"diversions": "field.kml"}, "diversions must be a list of names and bytes"),
        ({"diversions": '[["field.kml",-1]]'}, "diversions must be a list of names and bytes"),
        ({"diversions": '[["field.kml",true]]'}, "diversions must be a list of names and bytes"),
        ({"diversions": "[" * 400}, "diversions must be a list of names and bytes"),
        ({"diversions": '[["field.kml",999]]'}, "the diversions take more bytes than the body has"),
        ({"diversions": '[["field.kml",0]]'}, "field.kml: it is empty"),
        ({"name": "../../etc/\nforged"}, "a distance has a unit"),
    ],
)
def test_numbers_that_are_no_flight_are_refused_in_one_line(
    client: httpx.Client, changes: dict[str, str | None], message: str
) -> None:
    changes = {"corridor": "5", **changes} if "name" in changes else changes
    asked = {name: value for name, value in {**ASKED, **changes}.items() if value is not None}
    answer = client.post("/ready", params=asked, content=line(POINTS))
    assert (answer.status_code, message in answer.text) == (400, True), answer.text
    assert answer.text.count("\n") == 1
    assert len(answer.text) < 400


def test_a_file_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(client: httpx.Client) -> None:
    parts = (bytes(1 << 20) for _ in range((MOST_ROUTE_BYTES >> 20) + 1))
    for content in (bytes(MOST_ROUTE_BYTES + 1), parts):
        answer = client.post("/ready", params=ASKED, content=content)
        assert (answer.status_code, answer.text) == (413, "the file is larger than 8 MiB\n")
    assert client.post("/ready", params=ASKED, content=line(POINTS)).status_code == 200


def test_a_file_that_does_not_arrive_is_given_up_and_the_next_is_judged(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "LONGEST_S", 0.2)
    place = client.base_url
    head = f"POST /ready?corridor=1km&zooms=9 HTTP/1.1\r\nHost: {place.host}\r\nContent-Length: 99\r\n\r\n{{"
    with socket.create_connection((place.host, place.port), timeout=60) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(4096)
        while b"within 0.2 s\n" not in answer:
            part = connection.recv(4096)
            assert part, answer
            answer += part
        assert answer.startswith(b"HTTP/1.1 408 ")
    monkeypatch.undo()
    with socket.create_connection((place.host, place.port), timeout=60) as connection:
        connection.sendall(head.encode())  # and goes away
    assert client.post("/ready", params=ASKED, content=line(POINTS)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_server_has_nothing_judged(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = client.post("/ready", params=ASKED, content=line(POINTS), headers=headers)
    assert (answer.status_code, answer.text) == (
        403,
        "a page of another server asks; only pages of this one may\n",
    )


def test_the_servers_own_page_and_programs_have_a_route_judged(client: httpx.Client) -> None:
    own = {"Origin": str(client.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    for headers in (own, {}):
        assert client.post("/ready", params=ASKED, content=line(POINTS), headers=headers).status_code == 200
    assert client.post("/ready", headers={"Host": "evil.example"}).status_code == 421
    answer = client.get("/ready")
    assert (answer.status_code, answer.text) == (405, "GET is not answered here; /ready takes POST\n")
