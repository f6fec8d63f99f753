"""The map page for every visitor: a route judged by mouse, keyboard and touch, in any light, on a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from map_sites import FIRST, LAST, ZOOM
from page_visits import Visit, hindrances, luminance, visiting
from playwright.sync_api import Browser, FilePayload, Page, expect

pytestmark = pytest.mark.xdist_group("browser")
INSIDE = [(FIRST.min_lon + 0.1, FIRST.max_lat - 0.1), (LAST.min_lon + 0.1, LAST.min_lat + 0.1)]
OUTSIDE = [*INSIDE, (LAST.max_lon + 0.5, LAST.min_lat + 0.1)]
PHONE = {"width": 390, "height": 844}
DROP = """([name, content]) => {
    const data = new DataTransfer();
    data.items.add(new File([content], name));
    const send = (kind) => document.querySelector("#map").dispatchEvent(
        new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data }));
    send("dragenter");
    const sign = document.querySelector("#drop").checkVisibility();
    send("drop");
    return sign;
}"""


def route_file(points: list[tuple[float, float]], name: str = "way.geojson") -> FilePayload:
    line = {"type": "LineString", "coordinates": points}
    content = {"type": "Feature", "properties": {}, "geometry": line}
    return {"name": name, "mimeType": "application/geo+json", "buffer": json.dumps(content).encode()}


@pytest.fixture
def visited(browser: Browser, url: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    options = getattr(request, "param", {"viewport": {"width": 1200, "height": 900}})
    context = browser.new_context(reduced_motion="reduce", **options)
    with closing(context), visiting(context, url) as visited:
        yield visited


def judge(page: Page, points: list[tuple[float, float]]) -> None:
    page.get_by_label("Zooms, such as 15-17").fill(f"{ZOOM - 1}-{ZOOM}")
    page.get_by_label("Route file").set_input_files(route_file(points))


def open_all_views(page: Page) -> None:
    """Show every view that has something to say."""
    for name in ("Coverage", "Freshness"):
        page.get_by_role("checkbox", name=name).check()
    judge(page, OUTSIDE)
    expect(page.locator("#go")).to_have_text("NO-GO")
    page.get_by_role("button", name="Tile at the crosshair").click()
    expect(page.locator("#facts p, #facts dl").first).to_be_visible()
    page.get_by_role("button", name="Load the record").click()
    expect(page.locator("#hits li")).to_have_count(3)
    expect(page.locator("#freshness-view")).to_contain_text("As of now")


def test_a_chosen_route_is_judged_with_every_hole_and_what_mends_it(visited: Visit) -> None:
    page = visited.page
    judge(page, OUTSIDE)
    answer = "NO-GO: 3 tiles missing, 18 tiles undescribed, 18 tiles not checked, index, base"
    expect(page.get_by_role("status")).to_have_text(answer)
    expect(page.locator("#go")).to_have_text("NO-GO")
    noes = page.locator("#noes li")
    mends = f"--area ROUTE --corridor 1km --zoom {ZOOM - 1}-{ZOOM} --missing-only --captured-at DATE"
    expect(noes.nth(0)).to_contain_text(f"3 tiles missing aerotile provision SOURCE... {mends}")
    expect(noes.nth(2)).to_contain_text("18 tiles not checked aerotile base verify")
    expect(page.locator("#conditions tr").filter(has_text="clock")).to_contain_text("yes")
    expect(page.locator("#legs button")).to_have_count(2)
    page.locator("#legs button").nth(1).click()
    page.get_by_label("Zoom on the map").select_option(str(ZOOM - 1))
    page.get_by_role("button", name="Take the route away").click()
    expect(page.locator("#readiness")).to_be_hidden()
    expect(page.locator("#route")).to_be_focused()


def test_a_route_is_judged_at_the_time_and_speed_that_are_given(visited: Visit) -> None:
    page = visited.page
    page.get_by_label("Take-off (UTC)").fill("2040-01-01T00:00")
    page.get_by_label("Speed such as").fill("50kt")
    judge(page, INSIDE)
    expect(page.locator("#ready-facts")).to_contain_text(
        "take-off 2040-01-01 00:00 UTC, at 25.7222 m/s, as given"
    )
    expect(page.get_by_role("status")).to_contain_text("tiles stale")
    page.get_by_label("Take-off (UTC)").fill("")
    page.get_by_role("button", name="Judge the route").click()
    expect(page.get_by_role("status")).not_to_contain_text("stale")


def test_a_diversion_is_judged_with_the_route_and_named_among_the_legs(visited: Visit) -> None:
    page = visited.page
    page.get_by_label("Files of diversions").set_input_files(route_file(OUTSIDE, "field.json"))
    judge(page, INSIDE)
    expect(page.locator("#go")).to_have_text("NO-GO")
    expect(page.locator("#legs li").filter(has_text="diversion field leg 1")).to_have_count(1)
    expect(page.locator('#map path[stroke-dasharray="8 6"]').first).to_be_attached()
    page.get_by_role("button", name="Take the route away").click()
    judge(page, INSIDE)
    expect(page.locator("#go")).to_have_text("NO-GO")
    expect(page.locator("#legs li").filter(has_text="diversion")).to_have_count(0)


def test_a_route_is_dropped_on_the_page(visited: Visit) -> None:
    page, file = visited.page, route_file(INSIDE, "dropped.json")
    assert page.evaluate(DROP, [file["name"], file["buffer"].decode()]) is True
    expect(page.locator("#route-name")).to_have_text("Route: dropped.json")
    expect(page.locator("#go")).to_have_text("NO-GO")
    expect(page.locator("#drop")).to_be_hidden()


def test_what_is_no_route_is_named_in_one_line_and_the_page_goes_on(visited: Visit) -> None:
    page, status = visited.page, visited.page.get_by_role("status")
    page.get_by_role("button", name="Judge the route").click()
    expect(status).to_have_text("choose a route file first")
    other: FilePayload = {"name": "photo.kml", "mimeType": "", "buffer": b"\x89PNG"}
    page.get_by_label("Route file").set_input_files(other)
    expect(status).to_contain_text("photo.kml: it is a PNG")
    page.get_by_label("Corridor").fill("wide")
    judge(page, INSIDE)
    expect(status).to_contain_text("a distance has a unit, such as 5km, 3nm or 500m; got 'wide'")
    page.get_by_label("Corridor").fill("1km")
    large: FilePayload = {"name": "large", "mimeType": "", "buffer": bytes((8 << 20) + 1)}
    page.get_by_label("Route file").set_input_files(large)
    expect(status).to_have_text("the file is larger than 8 MiB")
    judge(page, INSIDE)
    expect(page.locator("#go")).to_have_text("NO-GO")
    assert all("400" in line for line in visited.complaints)  # Chromium logs each answer of 400 by itself
    visited.complaints.clear()


def test_no_answer_stands_beside_a_route_that_it_is_not_about(visited: Visit) -> None:
    page = visited.page
    judge(page, INSIDE)
    expect(page.locator("#go")).to_be_visible()
    page.get_by_label("Corridor").fill("wide")
    page.get_by_role("button", name="Judge the route").click()
    expect(page.get_by_role("status")).to_contain_text("a distance has a unit")
    expect(page.locator("#readiness")).to_be_hidden()
    assert all("400" in line for line in visited.complaints)  # Chromium logs each answer of 400 by itself
    visited.complaints.clear()


def test_a_route_is_judged_by_keyboard_alone(visited: Visit) -> None:
    page = visited.page
    page.get_by_label("Route file").focus()
    page.get_by_label("Route file").set_input_files(route_file(INSIDE))  # the system's dialog is no page
    expect(page.locator("#go")).to_have_text("NO-GO")
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("20km")
    for _ in range(6):
        if page.evaluate("() => document.activeElement.id") == "judge":
            break
        page.keyboard.press("Tab")
        while page.evaluate("() => document.activeElement.id") == "take-off":
            page.keyboard.press("Tab")  # its parts: month, day, year, ...
    page.keyboard.press("Enter")
    expect(page.locator("#ready-facts")).to_contain_text("20000 m to each side")


@pytest.mark.parametrize(
    "visited",
    [{"viewport": {"width": 1200, "height": 900}}, {"viewport": PHONE, "is_mobile": True, "has_touch": True}],
    indirect=True,
    ids=["desk", "phone"],
)
def test_nothing_hinders_a_visitor_in_the_light_and_in_the_dark(visited: Visit) -> None:
    page = visited.page
    open_all_views(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert hindrances(page) == []
        ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert (luminance(ground) > 0.5) is (scheme == "light")


@pytest.mark.parametrize(
    "visited", [{"viewport": PHONE, "is_mobile": True, "has_touch": True}], indirect=True, ids=["phone"]
)
def test_on_a_phone_everything_is_reached_by_touch(visited: Visit) -> None:
    page = visited.page
    shown, panel = page.locator("#map").bounding_box(), page.locator("#panel").bounding_box()
    assert shown is not None
    assert panel is not None
    assert (shown["width"], shown["height"] < PHONE["height"]) == (PHONE["width"], True)
    assert panel["y"] >= shown["y"] + shown["height"]
    judge(page, OUTSIDE)
    expect(page.locator("#go")).to_have_text("NO-GO")
    page.locator("#legs button").first.tap()
    page.locator("#map").tap()
    expect(page.locator("#facts dl, #facts p").first).to_be_visible()
