"""The pictures of the map page in docs/: PYTHONPATH=tests/faults python tests/integration/map_pictures.py

A base of NASA's Blue Marble, a sector, an index of most tiles, a route, and the record of a flight that is
made up.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import attrs
import numpy as np
from browsers import chromium
from map_sites import (
    CAPTURED_AT,
    MapSite,
    fix_of,
    lookup_event,
    make_site,
    served,
    tile,
    write_record,
)
from playwright.sync_api import Browser, Page, expect
from sealed_bases import Tile

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.base_section import BaseConfig
from aerotile.adapters.demo.imagery import CREDIT, BlueMarble, encode_tile
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.signatures import write_new_key
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.flight_events import FlightEvent, WriteStep
from aerotile.domain.make_events import eviction_batch_event, write_event, write_failed_event
from aerotile.domain.values.areas import Area
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Circle, Polygon
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource

GROUND = (
    TileId.covering(52.0, 2.0, 5, TileSource.IMPORTED),
    TileId.covering(37.0, 24.0, 5, TileSource.IMPORTED),
)
"""The north-western and south-eastern tiles of the ground, at the coarsest zoom."""
ZOOMS = (5, 6, 7)
ALPS = SectorBoundary(
    "exercise-alps",
    SectorClassification.ACTIVE_CONFLICT,
    Polygon([[(5.5, 44.0), (7.5, 43.6), (10.5, 45.2), (13.8, 45.6), (13.5, 47.6), (9.0, 48.2), (6.2, 46.8)]]),
)
LYON, SOFIA = (45.75, 4.85), (42.70, 23.32)
FRAMES = 40
WAY = (LYON, (42.0, 12.5), (37.6, 18.4), (40.6, 22.9), SOFIA)
"""Over the Alps and the hole."""
MODEL = "for-pictures"
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


def tiles_of_europe() -> Iterator[Tile]:
    """Tiles of all zooms, captured one after the other from west to east, with a hole in the Ionian sea."""
    earth = BlueMarble.load()
    first, last = GROUND
    for zoom in ZOOMS:
        finer = zoom - ZOOMS[0]
        west, east = first.x << finer, ((last.x + 1) << finer) - 1
        for x in range(west, east + 1):
            captured_at = CAPTURED_AT - timedelta(days=round(250 * (east - x) / (east - west)))
            for y in range(first.y << finer, (last.y + 1) << finer):
                lat, lon = TileId(zoom, x, y, TileSource.IMPORTED).centre
                if not (zoom == ZOOMS[-1] and lat < 38.5 and 16.0 < lon < 21.0):
                    yield tile(zoom, x, y, encode_tile(earth.cut_tile(zoom, x, y)), captured_at)


def flight_over(tiles: list[Tile]) -> Iterator[FlightEvent]:
    """From Lyon to Sofia: lookups in a prior, fixes, tiles stored and evicted, the database gone and back."""
    rows = {row.tile_id: row for row, _ in tiles}
    gone = StoreUnavailableError("the database does not answer", remedy="start it")
    taken: list[TileMetadataPersistent] = []
    for frame in range(FRAMES):
        along = frame / (FRAMES - 1)
        lat, lon = (a + (b - a) * along for a, b in zip(LYON, SOFIA, strict=True))
        lat += 1.2 * math.sin(3 * math.pi * along)
        below = TileId.covering(lat, lon, ZOOMS[-1], TileSource.IMPORTED)
        around = [
            rows[place]
            for dx, dy in ((0, 0), (1, 0), (0, 1), (-1, 0))
            if (place := attrs.evolve(below, x=below.x + dx, y=below.y + dy)) in rows
        ]
        name, lookup = lookup_event(frame + 1, around, Area([Circle(lat, lon, 90_000)]))
        yield lookup
        yield fix_of(around[0], name, CAPTURED_AT, (lat, lon))
        if frame % 6 == 3:
            taken.append(around[-1])
            yield write_failed_event(below, WriteStep.INSERT, gone) if frame == 21 else write_event(taken[-1])
    yield eviction_batch_event([row.tile_id for row in taken[:2]], 40_000)


def index_of(tiles: list[Tile], folder: Path) -> None:
    """An index of all tiles but those of one column, each with a descriptor of a few random numbers."""
    left_out = TileId.covering(*WAY[1], ZOOMS[-1], TileSource.IMPORTED).x
    described = [row.tile_id for row, _ in tiles if row.tile_id.x != left_out]
    descriptors = np.random.default_rng(7).normal(size=(len(described), 16)).astype(np.float32)
    index = FaissDescriptorIndex(folder, open_existing=False)
    index.rebuild(described, descriptors, descriptor_model=MODEL, built_at=CAPTURED_AT)
    index.close()


def site_in(root: Path) -> MapSite:
    """The signed base, checked, with an index beside it and a record, below a new root."""
    tiles = list(tiles_of_europe())
    site = make_site(root, tiles, [ALPS], CREDIT)
    public = write_new_key(root / "release.key")
    BaseGenerations(site.config.base_folder).sign("000001", (root / "release.key").read_bytes())
    write_record(site.config.record_folder, list(flight_over(tiles)))
    index_of(tiles, site.config.index_folder)
    config = attrs.evolve(site.config, base=BaseConfig(public_keys=(public,)))
    with Runtime(config) as runtime:
        assert runtime.check_base("000001") == []
    return attrs.evolve(site, config=config)


def show_freshness(page: Page) -> None:
    """Verdicts as of a chosen time, and the facts of a tile."""
    page.get_by_role("checkbox", name="Freshness").check()
    page.get_by_label("Days from now").fill("60")
    page.get_by_role("button", name="Tile at the crosshair").click()
    expect(page.locator("#facts code")).to_be_visible()
    expect(page.locator("#freshness-view")).to_contain_text("rejected")
    page.locator("#freshness-title").scroll_into_view_if_needed()


def show_coverage(page: Page) -> None:
    """Cells of the finest zoom without the imagery, the sectors and the datasets."""
    page.get_by_role("checkbox", name="Imagery").uncheck()
    page.get_by_role("checkbox", name="Coverage").check()
    expect(page.locator("#coverage-view")).to_contain_text("In view")


def show_readiness(page: Page) -> None:
    """No-go, with every kind of lack on the map."""
    line = {"type": "LineString", "coordinates": [(lon, lat) for lat, lon in WAY]}
    page.get_by_label("Corridor to each side").fill("60km")
    page.get_by_label("Speed such as").fill("60m/s")
    name, content = "lyon-to-sofia.geojson", json.dumps(line).encode()
    page.get_by_label("Route file").set_input_files(
        {"name": name, "mimeType": "application/geo+json", "buffer": content}
    )
    expect(page.locator("#go")).to_have_text("NO-GO")
    for what in ("missing", "stale", "undescribed"):
        expect(page.locator("#noes")).to_contain_text(f" {what} ")
    page.locator("#judge").evaluate("(button) => button.scrollIntoView()")


def show_flight(page: Page) -> None:
    """A lookup within a prior, with its hits."""
    page.get_by_role("button", name="Load the record").click()
    page.get_by_label("Event", exact=True).fill("76")
    expect(page.locator("#hits li").first).to_be_visible()
    page.locator("#load-flight").evaluate("(button) => button.scrollIntoView()")


def show_answer(page: Page) -> None:
    """The same no-go on a phone, from the answer on."""
    show_readiness(page)
    page.locator("#go").evaluate("(answer) => answer.scrollIntoView()")


View = tuple[str, str, dict[str, int], Callable[[Page], None]]
VIEWS: tuple[View, ...] = (
    ("docs/map.jpg", "light", DESK, show_freshness),
    ("docs/map-coverage.jpg", "light", DESK, show_coverage),
    ("docs/map-ready.jpg", "light", DESK, show_readiness),
    ("docs/map-flight.jpg", "dark", DESK, show_flight),
    ("docs/map-phone.jpg", "dark", PHONE, show_answer),
)
"""Where each picture lies, light or dark, the window, and what is shown."""


def make_pictures(browser: Browser, site: MapSite, folder: Path) -> list[Path]:
    """A picture of each view, under its name in the folder."""
    made = []
    with served(site) as url:
        for place, scheme, window, show in VIEWS:
            page = browser.new_page(viewport=window, color_scheme=scheme, reduced_motion="reduce")
            page.goto(url)
            expect(page.locator("body")).to_have_attribute("data-ready", "yes")
            show(page)
            page.wait_for_load_state("networkidle")
            made.append(folder / Path(place).name)
            page.screenshot(path=made[-1], type="jpeg", quality=78)
            page.close()
    return made


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        for place in make_pictures(browser, site_in(Path(folder) / "root"), Path("docs")):
            sys.stdout.write(f"{place}\n")
