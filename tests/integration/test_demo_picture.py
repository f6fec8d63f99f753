"""The demo's picture: each mark lies where it belongs, in its colour."""

from __future__ import annotations

import math
from pathlib import Path
from uuid import UUID

import attrs
import numpy as np
import pytest
from PIL import Image

from aerotile.adapters.demo.imagery import BlueMarble
from aerotile.adapters.demo.picture import FlightPicture, FrameMark, FrameOutcome, draw_flight
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource

HEADER_PIXELS = 96
MAP_HEIGHT_PIXELS = 1600
pytestmark = pytest.mark.xdist_group("demo_picture")  # the plain drawing and the marked one are drawn once
EMPTY = FlightPicture(
    title="A flight",
    facts="No frames",
    # Four by four tiles around 0, 0: a square, so that 400 pixels are one tile.
    area=Bbox(-21.943045, -22.5, 21.943045, 22.5),
    grid_zoom=5,
    route=[],
    frames=[],
    sectors=[],
    onboard=[],
    evicted=[],
)

FRONT = SectorBoundary("front", SectorClassification.ACTIVE_CONFLICT, Bbox(-11.0, -10.0, -1.0, 0.0))
"""Below the route and the tile made on board, its name's plate too."""


@pytest.fixture(scope="module")
def blue_marble() -> BlueMarble:
    return BlueMarble.load()


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory, blue_marble: BlueMarble):
    drawn: dict[str, Image.Image] = {}

    def draw(**changes: object) -> Image.Image:
        """Draw what no test before has drawn; nobody changes a drawing."""
        if (key := repr(changes)) not in drawn:
            picture = attrs.evolve(EMPTY, **changes)
            path = draw_flight(picture, blue_marble, tmp_path_factory.mktemp("drawn") / "flight.png")
            with Image.open(path) as image:
                assert image.format == "PNG"
                drawn[key] = image.convert("RGB")
        return drawn[key]

    return draw


@pytest.fixture(scope="module")
def marked(draw) -> Image.Image:
    """One drawing with every mark, of which none touches a place where a test looks at another one."""
    return draw(
        frames=[
            FrameMark(0.0, -11.25, FrameOutcome.TOP_1),
            FrameMark(0.0, 0.0, FrameOutcome.TOP_5),
            FrameMark(0.0, 11.25, FrameOutcome.MISS),
            FrameMark(0.0, 16.875, FrameOutcome.MISS),
            FrameMark(0.0, 16.875, FrameOutcome.TOP_1),
        ],
        route=[(0.0, -22.5), (0.0, 22.5)],
        sectors=[FRONT],
        onboard=[TileId(5, 15, 15, TileSource.ONBOARD, UUID(int=1))],
        evicted=[TileId(5, 16, 16, TileSource.SATELLITE_PROVIDER)],
    )


def lat_to_rows(lat: float) -> float:
    """Rows north of the equator: the area's four tiles are 1600 rows, the world's 32 are 2 pi."""
    return math.asinh(math.tan(math.radians(lat))) / (2 * math.pi) * 32 * 400


def on_map(column: int, row: int) -> tuple[int, int]:
    return column, HEADER_PIXELS + row


def test_the_picture_is_1600_pixels_wide_with_the_map_in_true_proportions(draw) -> None:
    image = draw()
    assert image.width == 1600
    assert image.height == pytest.approx(HEADER_PIXELS + MAP_HEIGHT_PIXELS + 104, abs=1)


def test_the_map_shows_the_ground_of_its_area(draw, blue_marble: BlueMarble) -> None:
    image = draw()
    lat, lon = 10.0, 11.0
    column, row = 800 + lon / 22.5 * 800, 800 - lat_to_rows(lat)
    seen = np.asarray(
        image.crop(
            (int(column) - 60, HEADER_PIXELS + int(row) - 60, int(column) + 60, HEADER_PIXELS + int(row) + 60)
        ),
        float,
    )
    degrees = (np.arange(120) - 59.5) / 800 * 22.5
    ground = blue_marble.sample(lat - degrees[:, np.newaxis], lon + degrees[np.newaxis], 0.03)
    assert np.abs(seen - ground).mean() < 3


def test_a_frame_is_a_dot_at_its_place_in_its_outcomes_colour(marked: Image.Image) -> None:
    green, yellow, red = (marked.getpixel(on_map(column, 800)) for column in (400, 800, 1200))
    assert green[1] > green[0] + 80
    assert min(yellow[:2]) > yellow[2] + 80
    assert red[0] > red[1] + 80


def test_a_miss_is_not_hidden_under_a_hit(marked: Image.Image) -> None:
    red, green, _ = marked.getpixel(on_map(1400, 800))
    assert red > green + 80


def test_the_route_is_a_line_between_its_places(marked: Image.Image) -> None:
    assert min(marked.getpixel(on_map(300, 800))) > 200


def test_a_sector_tints_its_ground_and_leaves_the_rest(draw, marked: Image.Image) -> None:
    plain = draw()
    inside, outside = on_map(620, 1000), on_map(1000, 600)
    assert marked.getpixel(inside)[0] > plain.getpixel(inside)[0] + 20
    assert marked.getpixel(outside) == plain.getpixel(outside)


def test_tiles_made_on_board_are_outlined_and_evicted_ones_hatched(draw, marked: Image.Image) -> None:
    plain = draw()

    def changed(left: int, top: int) -> float:
        box = (left + 20, HEADER_PIXELS + top + 20, left + 380, HEADER_PIXELS + top + 380)
        step = np.asarray(plain.crop(box), int) - np.asarray(marked.crop(box))
        # Smoothing the edges touches every pixel a little.
        return float((np.abs(step).max(axis=2) > 30).mean())

    assert changed(400, 400) == 0
    assert 0.05 < changed(800, 800) < 0.7
    assert plain.getpixel(on_map(401, 600)) != marked.getpixel(on_map(401, 600))


def test_marks_outside_the_area_are_cut_off(draw) -> None:
    far = [FrameMark(80.0, 170.0, FrameOutcome.MISS)]
    sector = SectorBoundary("far", SectorClassification.STABLE_REAR, Bbox(60.0, 100.0, 90.0, 120.0))
    evicted = [TileId(5, 31, 0, TileSource.SATELLITE_PROVIDER)]
    image = draw(frames=far, sectors=[sector], evicted=evicted, route=[(80.0, 170.0), (60.0, 100.0)])
    map_box = (0, HEADER_PIXELS, 1600, HEADER_PIXELS + MAP_HEIGHT_PIXELS - 2)
    assert image.crop(map_box).tobytes() == draw().crop(map_box).tobytes()


def test_a_picture_that_cannot_be_written_says_where(tmp_path: Path, blue_marble: BlueMarble) -> None:
    path = tmp_path / "missing" / "flight.png"
    with pytest.raises(StoreUnavailableError, match=r"missing/flight\.png can't be written"):
        draw_flight(EMPTY, blue_marble, path)
