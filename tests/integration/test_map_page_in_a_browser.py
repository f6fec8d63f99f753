"""The map page in a real Chromium: what a person sees, by mouse, by keyboard, in the dark, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from map_pictures import VIEWS, make_pictures, site_in
from map_sites import (
    ATTRIBUTION,
    NORTH,
    ROWS,
    TILES,
    WEST,
    WIDTH,
    ZOOM,
    lookup_event,
    make_site,
    served,
    tile,
    write_record,
)
from page_visits import LIMIT_MS, Visit, visiting
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, expect

from aerotile.domain.flight_events import EventKind, FlightEvent

pytestmark = pytest.mark.xdist_group("browser")
REPOSITORY = Path(__file__).parents[2]
TILE_COUNT = str(WIDTH**2)


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def visited(context: BrowserContext, url: str) -> Iterator[Visit]:
    with visiting(context, url) as visited:
        yield visited


def test_a_state_that_changes_while_the_page_is_open_is_shown(visited: Visit) -> None:
    page = visited.page
    expect(page.locator("#health")).to_contain_text("lacks the signatures")
    page.route("**/health", lambda route: route.fulfill(json={"status": "ok", "degraded": []}))
    expect(page.locator("#health")).to_have_text("All is well.")


def test_imagery_and_its_attribution_are_shown(visited: Visit) -> None:
    page = visited.page
    expect(page.locator("#layers")).to_have_text(f"base 000001: {len(TILES)} tiles, unsigned")
    expect(page.locator("#health")).to_contain_text("lacks the signatures")
    expect(page.locator("#attribution")).to_have_text(ATTRIBUTION)
    dataset = f"ortho: {ATTRIBUTION} (CC-BY-4.0, may be stored offline), captured 2025-06-01"
    expect(page.locator("#dataset-list li")).to_have_text([dataset])
    expect(page.locator("img.leaflet-tile-loaded").first).to_be_visible()
    page.get_by_role("button", name="Zoom in").click()
    shown = f"/tiles/{ZOOM}/{WEST + 2}/{NORTH + 2}.jpg"
    expect(page.locator(f"img.leaflet-tile-loaded[src='{shown}']")).to_be_visible()
    page.get_by_role("checkbox", name="Imagery").uncheck()
    expect(page.locator("img.leaflet-tile-loaded")).to_have_count(0)
    page.get_by_role("checkbox", name="Imagery").check()
    expect(page.locator(f"img.leaflet-tile-loaded[src='{shown}']")).to_be_visible()


def test_coverage_is_a_table_by_zoom_and_cells_on_the_map(visited: Visit) -> None:
    page = visited.page
    rows = page.locator("#coverage-rows tr")
    expect(rows).to_have_text([f"{ZOOM - 1}16", f"{ZOOM}{TILE_COUNT}"])
    page.get_by_role("checkbox", name="Coverage").check()
    expect(page.locator("#coverage-view")).to_have_text(
        f"In view: {TILE_COUNT} tiles of zoom {ZOOM} in {TILE_COUNT} cells"
    )
    page.get_by_label("Zoom of the tiles").select_option(str(ZOOM - 1))
    expect(page.locator("#coverage-view")).to_have_text(f"In view: 16 tiles of zoom {ZOOM - 1} in 16 cells")
    page.get_by_role("checkbox", name="Coverage").uncheck()
    expect(page.locator("#coverage-view")).to_be_empty()


def test_a_slider_and_a_field_choose_the_time_of_freshness(visited: Visit) -> None:
    page = visited.page
    told = page.locator("#freshness-view")
    page.get_by_role("checkbox", name="Freshness").check()
    expect(told).to_have_text(f"As of now: {TILE_COUNT} fresh, 0 downgraded, 0 rejected")
    slider = page.get_by_label("Days from now")
    slider.fill("100")
    expect(told).to_have_text(re.compile(r"As of \d.* UTC: [1-9]\d* fresh, 0 downgraded, [1-9]\d* rejected"))
    slider.focus()
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"))
    expect(told).to_have_text(re.compile(r": 0 fresh, [1-9]\d* downgraded, [1-9]\d* rejected"))
    page.get_by_label("As of (UTC)").fill("2020-01-01T00:00")
    expect(told).to_contain_text(f"As of 2020-01-01 00:00 UTC: {TILE_COUNT} fresh")
    page.get_by_role("button", name="Now").click()
    expect(told).to_contain_text("As of now")


def test_a_click_on_a_tile_shows_facts_verdict_and_the_command_that_explains_it(visited: Visit) -> None:
    page, row = visited.page, ROWS[2 * WIDTH + 2]
    x, y = row.tile_id.x, row.tile_id.y
    page.get_by_role("button", name="Zoom in").click()
    page.locator(f"img.leaflet-tile-loaded[src='/tiles/{ZOOM}/{x}/{y}.jpg']").click(force=True)
    facts = page.locator("#facts")
    expect(facts).to_contain_text(str(row.tile_id))
    expect(facts).to_contain_text(row.content_sha256)
    expect(facts).to_contain_text("ortho")
    expect(facts).to_contain_text("accept by sector front (active_conflict allows 180.0 days)")
    lat, lon = row.tile_id.centre
    expect(facts.locator("code")).to_have_text(
        f"aerotile explain {lat} {lon} {row.captured_at.isoformat()} --zoom {ZOOM} --base"
    )
    expect(page.get_by_role("status")).to_have_text(f"Tile {row.tile_id}: accept")


def test_sectors_are_drawn_by_shape_and_listed(visited: Visit) -> None:
    page = visited.page
    page.get_by_role("button", name="front: active_conflict, 180 days").click()
    shape = page.locator(".leaflet-overlay-pane path[stroke='#c43c00']")
    expect(shape).to_have_count(1)
    assert len(re.findall(r"[ML]", shape.get_attribute("d") or "")) == 3  # the triangle
    page.get_by_role("checkbox", name="Sectors").uncheck()
    expect(shape).to_have_count(0)


def test_a_flight_is_played_on_a_time_line(visited: Visit) -> None:
    page = visited.page
    page.get_by_role("button", name="Load the record").click()
    expect(page.get_by_role("status")).to_have_text("6 events")
    told, database = page.locator("#event-text"), page.locator("#database")
    expect(told).to_contain_text("c6.lookup, area: lookup=a-1")
    prior = page.locator("path.prior")
    expect(prior).to_have_count(1)
    expect(page.locator("#hits li")).to_have_text(
        [
            f"{row.tile_id}: distance {0.1 * rank:.1g}{', used by a fix' if rank == 1 else ''}"
            for rank, row in enumerate(ROWS[:3])
        ]
    )
    page.get_by_role("button", name="Forward").click()
    expect(page.locator("#hits-of")).to_be_hidden()
    expect(told).to_contain_text("c6.fix, flight_stack: tile=imported/")
    expect(prior).to_have_count(0)
    slider = page.get_by_label("Event", exact=True)
    slider.fill("3")
    expect(told).to_contain_text("c6.write_failed, insert")
    expect(database).to_have_text("The database is gone.")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("c6.write, committed"))
    expect(database).to_have_text("The database is back.")
    page.get_by_role("button", name="Play").click()
    expect(told).to_contain_text("c6.eviction_batch, disk_budget")
    expect(page.get_by_role("button", name="Play")).to_have_attribute("aria-pressed", "false")
    page.get_by_label("Until (UTC)").fill("2020-01-01T00:00")
    page.get_by_role("button", name="Load the record").click()
    expect(page.get_by_role("status")).to_have_text("0 events")
    expect(page.locator("#flight")).to_be_hidden()


def test_what_the_server_refuses_is_said_in_its_line(visited: Visit) -> None:
    page = visited.page
    page.get_by_label("From (UTC)").fill("2020-01-02T00:00")
    page.get_by_label("Until (UTC)").fill("2020-01-01T00:00")
    page.get_by_role("button", name="Load the record").click()
    expect(page.get_by_role("status")).to_have_text("since is later than until")
    # Chromium logs each answer of 400 by itself.
    assert [line for line in visited.complaints if "400" not in line] == []
    visited.complaints.clear()


def test_everything_is_reached_by_keyboard_in_the_order_of_the_page(visited: Visit) -> None:
    page = visited.page
    page.locator(".skip").focus()
    reached = []
    for _ in range(60):
        reached.append(page.evaluate("() => document.activeElement.id || document.activeElement.className"))
        page.keyboard.press("Tab")
    wanted = ["skip", "map", "show-imagery", "show-coverage", "show-freshness", "show-sectors", "zoom"]
    wanted += ["days", "at", "now", "route", "corridor", "ready-zooms", "take-off", "speed"]
    wanted += ["diversions", "judge"]
    wanted += ["at-centre", "since", "until", "load-flight"]
    assert [name for name in dict.fromkeys(reached) if name in wanted] == wanted
    page.locator("#map").focus()
    expect(page.locator("#map-help")).to_be_visible()
    expect(page.locator(".crosshair")).to_be_visible()
    before = page.locator("#facts").inner_text()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#facts")).not_to_have_text(before)


def test_the_page_has_landmarks_headings_and_names(visited: Visit) -> None:
    tree = visited.page.locator("body").aria_snapshot()
    for line in (
        '- application "Map of tiles"',
        '- complementary "Controls"',
        "- status",
        '- heading "Coverage by zoom" [level=2]',
        '- slider "Days from now"',
        '- combobox "Zoom of the tiles"',
        '- checkbox "Imagery" [checked]',
        '- rowheader "10"',
    ):
        assert line in tree
    assert visited.page.locator("html").get_attribute("lang") == "en"


def test_on_a_phone_nothing_is_cut_off_at_the_side(visited: Visit) -> None:
    page = visited.page
    page.get_by_role("button", name="Load the record").click()
    expect(page.locator("#event-text")).to_contain_text("query_sha256=0000")
    page.set_viewport_size({"width": 360, "height": 740})
    widths = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    panel, shown = page.locator("#panel").bounding_box(), page.locator("#map").bounding_box()
    assert panel is not None
    assert shown is not None
    assert panel["y"] >= shown["y"] + shown["height"]
    page.get_by_role("button", name="Tile at the crosshair").click()
    expect(page.locator("#facts dl, #facts p").first).to_be_visible()


def test_every_view_is_asked_of_this_server_alone(visited: Visit) -> None:
    page = visited.page
    for name in ("Coverage", "Freshness"):
        page.get_by_role("checkbox", name=name).check()
    for name in ("Tile at the crosshair", "Load the record", "Zoom in"):
        page.get_by_role("button", name=name).click()
    expect(page.locator("#freshness-view")).to_contain_text("As of now")
    page.wait_for_load_state("networkidle")
    asked = {re.split(r"[?/]", request.removeprefix(page.url))[0] for request in visited.requests}
    assert {"static", "tiles", "coverage", "freshness", "sectors.geojson", "record", "health"} <= asked
    assert len(visited.requests) > 20
    assert visited.elsewhere == []


def test_ground_too_wide_for_its_imagery_begins_with_coverage(browser: Browser, tmp_path: Path) -> None:
    wide = make_site(tmp_path / "root", [tile(14, x, 5600, TILES[0][1]) for x in (8000, 9000)])
    with served(wide) as url, closing(browser.new_context()) as context, visiting(context, url) as visited:
        page = visited.page
        expect(page.get_by_role("status")).to_have_text("Imagery is shown from zoom 12 on, coverage before.")
        expect(page.get_by_role("checkbox", name="Coverage")).to_be_checked()
        expect(page.locator("#coverage-view")).to_have_text("In view: 2 tiles of zoom 14 in 2 cells")


HOSTILE = f"<script>alert(1)</script><img src=x onerror=alert(1)>\u202e{'W' * 10_000}"


@pytest.mark.parametrize("width", [1200, 320])
def test_texts_of_others_run_nothing_and_leave_the_map_in_sight(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    site = make_site(tmp_path / "root", TILES[:1])
    payload: dict[str, object] = {HOSTILE: HOSTILE, "lat": 48.0, "lon": 11.0}
    _, lookup = lookup_event(1, ROWS[:1], None)
    events = [
        FlightEvent(EventKind.FIX, HOSTILE, payload),
        attrs.evolve(lookup, payload={**lookup.payload, "hits": [[str(ROWS[0].tile_id), "inf", HOSTILE]]}),
    ]
    write_record(site.config.record_folder, events)
    with (
        served(site, attributions=[HOSTILE]) as url,
        closing(browser.new_context(viewport={"width": width, "height": 700})) as context,
        visiting(context, url) as visited,
    ):
        page = visited.page
        page.on("dialog", lambda dialog: visited.complaints.append(dialog.message))
        page.get_by_role("button", name="Load the record").click()
        expect(page.locator("#event-text")).to_contain_text("onerror=alert")
        expect(page.locator("#attribution")).to_contain_text("W" * 10_000)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.getElementById('map').clientHeight > 300")
        page.get_by_role("button", name="Forward").click()
        expect(page.locator("#hits li")).to_have_text(re.compile("distance inf"))


def test_a_page_of_another_site_reads_nothing(browser: Browser, url: str) -> None:
    context = browser.new_context()
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    answer = {"body": "<p>other", "content_type": "text/html"}
    page.route("http://other.example/", lambda route: route.fulfill(**answer))
    page.goto("http://other.example/")
    read = page.evaluate(
        "(url) => fetch(url).then((answer) => answer.text(), (error) => `no: ${error.name}`)",
        f"{url}/catalog",
    )
    assert read == "no: TypeError"
    sent = "(url) => fetch(url, { method: 'POST', body: 'x' }).then(() => 'answered', (error) => error.name)"
    assert page.evaluate(sent, f"{url}/ready?corridor=1km&zooms=9") == "TypeError"
    context.close()


@pytest.mark.slow(reason="cuts tiles of the Blue Marble for the pictures of the pages")
def test_the_pictures_of_the_pages_can_be_made(browser: Browser, tmp_path: Path) -> None:
    made = make_pictures(browser, site_in(tmp_path / "root"), tmp_path)
    assert [path.name for path in made] == [Path(place).name for place, *_ in VIEWS]
    for path in made:
        published = REPOSITORY / "docs" / path.name
        assert size_of(path) == size_of(published)
        assert published.stat().st_size <= 150 << 10


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size
