"""What the map page answers: imagery, coverage, freshness, sectors, facts and flights, over HTTP."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from disk_faults import files_below
from map_sites import (
    ATTRIBUTION,
    CAPTURED_AT,
    FIRST,
    LAST,
    NORTH,
    ROWS,
    TAKEOFF,
    TILES,
    WEST,
    WIDTH,
    ZOOM,
    MapSite,
    client_of,
    flight_events,
    make_site,
    write_record,
)
from pmtiles.reader import Reader, all_tiles
from prometheus_client.parser import text_string_to_metric_families
from waiting import until

from aerotile.adapters.map_page import views
from aerotile.adapters.map_page.assets import read_assets
from aerotile.domain.errors import RuntimeNotAvailableError
from aerotile.domain.flight_events import EventKind, FlightEvent

PIXELS = {row.tile_id: pixels for row, pixels in TILES}
TOO_OLD_AT_THE_FRONT = (CAPTURED_AT + timedelta(days=200)).date().isoformat()
TOO_OLD_ANYWHERE = (CAPTURED_AT + timedelta(days=400)).date().isoformat()


def path_of(zoom: int, x: int, y: int) -> str:
    return f"/tiles/{zoom}/{x}/{y}.jpg"


@pytest.fixture(scope="module")
def client(flown_site: MapSite) -> Iterator[httpx.Client]:
    with client_of(flown_site, attributions=["Landesamt"]) as client:
        yield client


def test_each_tile_is_answered_to_the_byte_and_named_by_its_digest(client: httpx.Client) -> None:
    def asked(tile_id: object) -> httpx.Response:
        return client.get(path_of(tile_id.zoom_level, tile_id.x, tile_id.y))

    with ThreadPoolExecutor(8) as threads:
        for tile_id, answer in zip(PIXELS, threads.map(asked, PIXELS), strict=True):
            assert answer.content == PIXELS[tile_id]
            assert answer.headers["Content-Type"] == "image/jpeg"
            assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    again = client.get(path_of(ZOOM, WEST, NORTH))
    known = {"If-None-Match": f'"other", W/{again.headers["ETag"]}'}
    assert client.get(path_of(ZOOM, WEST, NORTH), headers=known).status_code == 304
    head = client.head(path_of(ZOOM, WEST, NORTH))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == again.headers["Content-Length"]


def test_a_place_without_a_tile_has_no_content(client: httpx.Client) -> None:
    for place in ((ZOOM, 0, 0), (ZOOM, WEST + WIDTH, NORTH), (22, 0, 0), (0, 0, 0)):
        answer = client.get(path_of(*place))
        assert (answer.status_code, answer.content) == (204, b"")


def test_the_tile_json_says_where_tiles_are_and_to_whom_they_are_owed(client: httpx.Client) -> None:
    facts = client.get("/tiles.json").json()
    assert (facts["tilejson"], facts["scheme"]) == ("3.0.0", "xyz")
    assert (facts["minzoom"], facts["maxzoom"]) == (ZOOM - 1, ZOOM)
    assert facts["bounds"] == [FIRST.min_lon, LAST.min_lat, LAST.max_lon, FIRST.max_lat]
    assert facts["attribution"] == f"Landesamt; {ATTRIBUTION}"
    (template,) = facts["tiles"]
    url = template.format(z=ZOOM, x=WEST, y=NORTH)
    assert httpx.get(url, trust_env=False, timeout=60).content == PIXELS[ROWS[0].tile_id]


def test_the_catalog_names_the_layers_and_each_view(client: httpx.Client) -> None:
    facts = client.get("/catalog").json()
    (base,) = facts["layers"]
    assert (base["name"], base["tiles"], base["generation"]) == ("base", len(TILES), "000001")
    assert base["is_trusted"] is False
    assert facts["attributions"] == ["Landesamt", ATTRIBUTION]
    for view in ("tiles", "archive", "coverage", "sectors", "record"):
        assert client.get(facts[view]).status_code == 200


def test_a_reader_of_pmtiles_reads_the_archive_by_ranges(client: httpx.Client) -> None:
    sizes = []

    def read(offset: int, length: int) -> bytes:
        answer = client.get("/base.pmtiles", headers={"Range": f"bytes={offset}-{offset + length - 1}"})
        assert answer.status_code == 206
        total = int(answer.headers["Content-Range"].rpartition("/")[2])
        assert answer.headers["Content-Range"] == f"bytes {offset}-{offset + len(answer.content) - 1}/{total}"
        sizes.append(len(answer.content))
        return answer.content

    assert Reader(read).header()["addressed_tiles_count"] == len(TILES)
    found = dict(all_tiles(read))
    assert found == {(t.zoom_level, t.x, t.y): pixels for t, pixels in PIXELS.items()}
    assert len(sizes) > len(TILES)


@pytest.mark.parametrize(
    ("asked", "status", "begin", "end"),
    [
        (None, 200, 0, None),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=7-", 206, 7, None),
        ("bytes=-7", 206, -7, None),
        ("BYTES= 3-5", 206, 3, 6),
        ("bytes=3-9999999999999999999", 206, 3, None),
        ("bytes=-9999999999999999999", 206, 0, None),
        ("bytes=0-1,5-6", 200, 0, None),
        ("rows=0-1", 200, 0, None),
    ],
)
def test_a_range_is_cut_to_the_archive(
    client: httpx.Client, flown_site: MapSite, asked: str | None, status: int, begin: int, end: int | None
) -> None:
    whole = (flown_site.config.base_folder / "generations/000001/tiles.pmtiles").read_bytes()
    answer = client.get("/base.pmtiles", headers={} if asked is None else {"Range": asked})
    assert (answer.status_code, answer.content) == (status, whole[begin:end])
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes", "bytes=", "bytes=-", "bytes=5-3", "bytes=-0", "bytes=0x1-2", "bytes=1-2-3"),
        *("bytes=99999999-", f"bytes={'9' * 30}-", "bytes=0-1,junk", "bytes=\u0663-5"),
    ],
)
def test_a_range_without_a_byte_of_the_archive_is_refused(
    client: httpx.Client, flown_site: MapSite, asked: str
) -> None:
    size = (flown_site.config.base_folder / "generations/000001/tiles.pmtiles").stat().st_size
    answer = client.get("/base.pmtiles", headers={"Range": asked.encode("utf-8")})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{size}"
    assert answer.text.count("\n") == 1


def test_a_part_of_another_archive_is_not_gone_on_with(client: httpx.Client) -> None:
    etag = client.head("/base.pmtiles").headers["ETag"]
    part = {"Range": "bytes=0-6", "If-Range": etag}
    assert client.get("/base.pmtiles", headers=part).content == b"PMTiles"
    answer = client.get("/base.pmtiles", headers={**part, "If-Range": '"other"'})
    assert (answer.status_code, len(answer.content) > 7) == (200, True)
    assert client.get("/base.pmtiles", headers={"If-None-Match": etag}).status_code == 304


def test_coverage_counts_tiles_by_zoom_and_by_cell(client: httpx.Client) -> None:
    zooms = client.get("/coverage").json()["zooms"]
    assert zooms == [{"zoom": ZOOM - 1, "tiles": 16}, {"zoom": ZOOM, "tiles": WIDTH**2}]
    cells = client.get(f"/coverage/{ZOOM}").json()
    assert sorted(cells["cells"]) == sorted([row.tile_id.x, row.tile_id.y, 1] for row in ROWS)
    coarse = client.get(f"/coverage/{ZOOM}", params={"finest": 0}).json()
    assert (coarse["cells"], coarse["places_in_a_cell"]) == ([[0, 0, WIDTH**2]], 4**ZOOM)
    box = f"{FIRST.min_lon + 0.01},{FIRST.min_lat + 0.01},{FIRST.max_lon - 0.01},{FIRST.max_lat - 0.01}"
    assert client.get(f"/coverage/{ZOOM}", params={"bbox": box}).json()["cells"] == [[WEST, NORTH, 1]]
    assert client.get("/coverage/22").json()["cells"] == []


def test_freshness_is_judged_as_of_now_and_of_a_chosen_time(client: httpx.Client) -> None:
    def verdicts(**asked: object) -> list[tuple[int, ...]]:
        facts = client.get(f"/freshness/{ZOOM}", params={"finest": 0, **asked}).json()
        return [tuple(cell[2:]) for cell in facts["cells"]]

    assert verdicts() == [(WIDTH**2, 0, 0)]
    # Tiles that touch the triangle of the front are older than its 180 days; the others are not yet.
    ((fresh, downgraded, rejected),) = verdicts(at=TOO_OLD_AT_THE_FRONT)
    assert (fresh + rejected, downgraded) == (WIDTH**2, 0)
    assert fresh > 0
    assert rejected > WIDTH**2 // 2
    assert verdicts(at=TOO_OLD_ANYWHERE) == [(0, fresh, rejected)]
    assert client.get(f"/freshness/{ZOOM}").json()["is_now"] is True


def test_too_many_tiles_to_judge_are_counted_and_not_guessed(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MOST_JUDGED", WIDTH**2 - 1)
    facts = client.get(f"/freshness/{ZOOM}").json()
    assert (facts["judged"], facts["cells"], facts["tiles"]) == (False, [], WIDTH**2)


def test_sectors_are_shapes_with_the_age_that_they_allow(client: httpx.Client) -> None:
    (feature,) = client.get("/sectors.geojson").json()["features"]
    assert feature["properties"] == {
        "sector": "front",
        "classification": "active_conflict",
        "max_age_seconds": 180 * 86_400.0,
    }
    assert len(feature["geometry"]["coordinates"][0]) == 4  # the triangle, closed


def test_the_facts_of_a_tile_are_those_of_its_row_and_verdict(client: httpx.Client) -> None:
    row = ROWS[0]
    facts = client.get(f"/tiles/{ZOOM}/{WEST}/{NORTH}", params={"at": TOO_OLD_AT_THE_FRONT}).json()
    (tile,) = facts["tiles"]
    assert (tile["tile"], tile["content_sha256"]) == (str(row.tile_id), row.content_sha256)
    assert tile["captured_at"] == CAPTURED_AT.isoformat()
    assert (tile["dataset"], facts["datasets_known"]) == ("ortho", True)
    assert (tile["verdict"]["decision"], tile["verdict"]["sector"]) == ("reject", "front")
    assert tile["verdict"]["age_seconds"] == 200 * 86_400
    lat, lon = row.tile_id.centre
    assert tile["command"] == f"aerotile explain {lat} {lon} {CAPTURED_AT.isoformat()} --zoom {ZOOM} --base"
    last = client.get(f"/tiles/{ZOOM}/{WEST + WIDTH - 1}/{NORTH + WIDTH - 1}").json()["tiles"][0]
    assert (last["verdict"]["decision"], last["verdict"]["sector"]) == ("accept", None)
    assert client.get(f"/tiles/{ZOOM}/0/0").json()["tiles"] == []


def test_a_flight_is_read_from_its_record(client: httpx.Client) -> None:
    facts = client.get("/record").json()
    assert [event["role"] for event in facts["events"]] == [
        *("candidate", "used", "stored", "refused", "stored", "evicted")
    ]
    assert (facts["is_complete"], facts["damaged_lines"]) == (True, 0)
    asked, used = facts["events"][:2]
    assert asked["tiles"] == [[ZOOM, row.tile_id.x, row.tile_id.y] for row in ROWS[:3]]
    lat, lon = ROWS[1].tile_id.centre
    assert asked["prior"] == [{"circle": [lat, lon, 20_000.0]}]
    assert (used["position"], used["payload"]["lookup"]) == ([lat, lon], "a-1")
    times = [(TAKEOFF + timedelta(seconds=second)).isoformat() for second in range(6)]
    assert [event["time"] for event in facts["events"]] == times
    assert facts["database_gone"] == [{"since": times[3], "until": times[4]}]
    part = client.get("/record", params={"since": times[1], "until": times[3]}).json()
    assert [event["time"] for event in part["events"]] == times[1:4]
    assert part["database_gone"] == [{"since": times[3], "until": None}]


def test_a_torn_record_shows_what_is_whole_and_counts_the_rest(flown_site: MapSite, tmp_path: Path) -> None:
    root = tmp_path / "root"
    torn = make_site(root, TILES[:1])
    with client_of(torn) as client:
        assert client.get("/record").json()["events"] == []
        write_record(root / "record", flight_events())
        path = root / "record" / "record-000001.jsonl"
        first, second, *others = path.read_bytes().splitlines(keepends=True)
        changed = first.replace(b"c6.lookup", b"c6.newest")
        path.write_bytes(first[:40] + b"\n" + second + changed + b"".join(others))
        facts = client.get("/record").json()
    assert facts["events"][0]["kind"] == EventKind.FIX.value
    assert (len(facts["events"]), facts["damaged_lines"]) == (5, 2)


@pytest.mark.parametrize(
    "payload", [{"step": ["insert"]}, {"step": "insert", "error": {}}, {"lat": "x", "lon": []}]
)
def test_an_event_of_another_schema_keeps_no_flight_from_being_shown(
    tmp_path: Path, payload: dict[str, Any]
) -> None:
    site = make_site(tmp_path / "root", TILES[:1])
    write_record(site.config.record_folder, [FlightEvent(EventKind.WRITE_FAILED, "x", payload)])
    with client_of(site) as client:
        assert [event["payload"] for event in client.get("/record").json()["events"]] == [payload]


def test_health_and_metrics_name_what_is_degraded(client: httpx.Client) -> None:
    health = client.get("/health").json()
    assert health["status"] == "degraded"
    assert [each["state"] for each in health["degraded"]] == ["base_unsigned"]
    client.get("/nothing/here")
    families = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["aerotile_tiles", ("layer", "base")] == len(TILES)
    assert values[("aerotile_base_trusted",)] == 0
    assert values["aerotile_degraded", ("state", "base_unsigned")] == 1
    assert values["aerotile_degraded", ("state", "database_gone")] == 0
    counted = (("method", "GET"), ("status", "404"), ("view", "none"))
    assert values[("aerotile_http_requests_total", *counted)] >= 1


def test_the_page_about_it_lists_every_metric_with_its_labels(client: httpx.Client) -> None:
    until(lambda: "aerotile_http_requests_total{" in client.get("/metrics").text)
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text("utf-8")
    listed = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(r"^\| `(aerotile_\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE)
    }
    told = {
        family.name + "_total" * (family.type == "counter"): (
            family.type,
            tuple(sorted({label for sample in family.samples for label in sample.labels} - {"le"})),
        )
        for family in text_string_to_metric_families(client.get("/metrics").text)
    }
    assert listed == told


def test_answering_changes_no_file(client: httpx.Client, flown_site: MapSite) -> None:
    before = files_below(flown_site.root)
    for path in ("/", "/catalog", "/coverage", f"/freshness/{ZOOM}", "/record", path_of(ZOOM, WEST, NORTH)):
        assert client.get(path).status_code == 200
    assert client.get("/base.pmtiles").status_code == 200
    assert files_below(flown_site.root) == before


def test_damage_costs_the_damaged_tile_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(tmp_path / "root")
    path = site.config.base_folder / "generations/000001/tiles.pmtiles"
    content = bytearray(path.read_bytes())
    place = content.index(PIXELS[ROWS[0].tile_id])
    content[place + 500] ^= 1
    path.unlink()
    path.write_bytes(content)
    with client_of(site) as client:
        answer = client.get(path_of(ZOOM, WEST, NORTH))
        assert answer.status_code == 503
        assert str(ROWS[0].tile_id) in answer.text
        assert answer.text.count("\n") == 1
        assert client.get(path_of(ZOOM, WEST, NORTH + 1)).status_code == 200
        part = client.get("/base.pmtiles", headers={"Range": f"bytes={place}-{place + 9}"})
        assert (part.status_code, "damaged" in part.text) == (503, True)
        assert client.get(f"/tiles/{ZOOM}/{WEST}/{NORTH}").status_code == 200
    assert "answered with 503" in caplog.text


def test_without_leaflet_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "js_lib_leaflet", None)
    with pytest.raises(RuntimeNotAvailableError, match="needs Leaflet"):
        read_assets()
