"""The archive of a base, read by the pmtiles.js of others in a real Chromium, by ranges of bytes alone.

The package maplibre carries MapLibre and pmtiles.js in one file; nothing of it is a part of this repository:
`pip install --no-deps maplibre`. With KEEP_PICTURE=docs/base-in-pmtiles-js.jpg the picture is kept there.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from browsers import chromium
from map_pictures import site_in
from map_sites import served
from page_visits import LIMIT_MS
from PIL import Image, ImageStat
from playwright.sync_api import Route

pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.slow(reason="draws by software what a graphics card draws"),
]
PUBLISHED = Path(__file__).parents[2] / "docs" / "base-in-pmtiles-js.jpg"
WINDOW = {"width": 900, "height": 600}
DRAW = """(url) => window.pymaplibregl({
    mapOptions: {
        container: "pymaplibregl", center: [14, 46], zoom: 5,
        style: {
            version: 8,
            sources: { base: { type: "raster", url: `pmtiles://${url}/base.pmtiles`, tileSize: 256 } },
            layers: [{ id: "base", type: "raster", source: "base", paint: { "raster-fade-duration": 0 } }],
        },
    },
    calls: [],
})"""
PAGE = """<!doctype html><link rel="stylesheet" href="pywidget.css">
<style>body { margin: 0 } #pymaplibregl { height: 600px }</style>
<div id="pymaplibregl"></div><script src="pywidget.js"></script>"""


def test_the_base_is_drawn_by_pmtiles_js_from_ranges_of_its_archive(tmp_path: Path) -> None:
    spec = find_spec("maplibre")
    if spec is None or spec.origin is None:
        pytest.skip("the package maplibre, which carries pmtiles.js, is not installed")
    scripts = Path(spec.origin).parent / "srcjs"

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if name == "page.html":
            route.fulfill(body=PAGE, content_type="text/html")
        else:
            route.fulfill(path=scripts / name)

    site = site_in(tmp_path / "root")
    with served(site) as url, chromium("--enable-unsafe-swiftshader") as browser:
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(LIMIT_MS)
        asked: list[tuple[str, str | None, int]] = []
        page.on(
            "response",
            lambda got: asked.append((got.url, got.request.headers.get("range"), got.status)),
        )
        page.route(f"{url}/other/*", answer)
        page.goto(f"{url}/other/page.html")
        with page.expect_response(f"{url}/base.pmtiles"):
            page.evaluate(f"(url) => {{ ({DRAW})(url); }}", url)
        page.wait_for_load_state("networkidle")
        picture = tmp_path / "drawn.jpg"

        def colours() -> float:
            page.screenshot(path=picture, type="jpeg", quality=80)
            with Image.open(picture) as image:
                return max(ImageStat.Stat(image).stddev)

        # The ground has snow, forest and sea; until it is drawn the window is white.
        while colours() < 20:
            page.wait_for_timeout(200)
        page.wait_for_load_state("networkidle")
        colours()
    of_archive = [(span, status) for place, span, status in asked if place == f"{url}/base.pmtiles"]
    assert of_archive[0] == ("bytes=0-16383", 206)
    assert len(of_archive) > 5
    assert all(span is not None and status == 206 for span, status in of_archive)
    assert all(place.startswith((url, "blob:", "data:")) for place, _, _ in asked)
    if kept := os.environ.get("KEEP_PICTURE"):
        Path(kept).write_bytes(picture.read_bytes())
    assert PUBLISHED.stat().st_size <= 150 << 10
    with Image.open(picture) as made, Image.open(PUBLISHED) as published:
        assert made.size == published.size
