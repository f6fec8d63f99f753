"""The picture of a flight: the route over the base map with hits, misses, sectors and tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path

import attrs
from PIL import Image, ImageDraw

from ...domain.errors import StoreUnavailableError
from ...domain.values.sectors import SectorBoundary, SectorClassification
from ...domain.values.tile_grid import Bbox
from ...domain.values.tiles import TileId
from ..files.atomic_file import atomic_file
from .chart import (
    PAPER,
    ROUTE,
    SECTOR_COLOURS,
    Box,
    Chart,
    Colour,
    draw_dot,
    draw_evicted,
    draw_onboard,
    font,
)
from .imagery import CREDIT, BlueMarble

WIDTH_PIXELS = 1600
_HEADER_PIXELS = 96
_FOOTER_PIXELS = 104
_MARGIN = 30
_INK: Colour = (238, 242, 246)
_FAINT_INK: Colour = (156, 168, 182)


class FrameOutcome(Enum):
    """How the search for a frame's tile ended."""

    TOP_1 = "hit, first candidate"
    TOP_5 = "hit, candidates 2 to 5"
    MISS = "miss"


_OUTCOME_COLOURS: dict[FrameOutcome, Colour] = {
    FrameOutcome.TOP_1: (64, 220, 110),
    FrameOutcome.TOP_5: (255, 226, 64),
    FrameOutcome.MISS: (250, 60, 60),
}


@attrs.frozen
class FrameMark:
    """A frame's position, in degrees, and outcome."""

    lat: float
    lon: float
    outcome: FrameOutcome


@attrs.frozen(kw_only=True)
class FlightPicture:
    """The content of the picture; shapes are clipped to `area`."""

    title: str
    facts: str
    """One line under the title."""
    area: Bbox
    grid_zoom: int
    """The zoom whose tile grid is drawn."""
    route: Sequence[tuple[float, float]]
    """Latitudes and longitudes in degrees, close enough together to be joined by straight lines."""
    frames: Sequence[FrameMark]
    sectors: Sequence[SectorBoundary]
    onboard: Sequence[TileId]
    """Tiles that the aircraft made and stored."""
    evicted: Sequence[TileId]


def draw_flight(picture: FlightPicture, imagery: BlueMarble, path: Path) -> Path:
    """Write the picture as a PNG, 1600 pixels wide, and return its path.

    Raises `StoreUnavailableError` when the file can't be written; its name is not synced.
    """
    chart = Chart.over(imagery, picture.area, zoom_level=picture.grid_zoom, width=WIDTH_PIXELS)
    chart.add_grid(picture.area)
    for sector in picture.sectors:
        chart.add_sector(sector)
    for tile_id in picture.evicted:
        chart.add_evicted(tile_id.bbox)
    for tile_id in picture.onboard:
        chart.add_onboard(tile_id.bbox)
    chart.add_route(picture.route)
    # In the order of the outcomes, so that no miss is hidden under a hit.
    for outcome, colour in _OUTCOME_COLOURS.items():
        for frame in picture.frames:
            if frame.outcome is outcome:
                chart.add_dot(frame.lat, frame.lon, colour)
    page = _lay_out(chart.finished(), picture)
    try:
        with atomic_file(path, 0o644, durable=False) as file:
            page.save(file, "PNG")
    except OSError as error:
        raise StoreUnavailableError(
            f"the picture {path} can't be written: {error}", remedy="make room or name another folder"
        ) from error
    return path


def _lay_out(finished_map: Image.Image, picture: FlightPicture) -> Image.Image:
    """The map between a header with the facts and a footer with the legend."""
    page = Image.new("RGB", (WIDTH_PIXELS, _HEADER_PIXELS + finished_map.height + _FOOTER_PIXELS), PAPER)
    page.paste(finished_map, (0, _HEADER_PIXELS))
    draw = ImageDraw.Draw(page, "RGBA")
    draw.text((_MARGIN, 17), picture.title, font=font(32), fill=_INK)
    draw.text((_MARGIN, 61), picture.facts, font=font(18), fill=_FAINT_INK)
    _write_legend(draw, picture, top=page.height - _FOOTER_PIXELS)
    credit = (WIDTH_PIXELS - _MARGIN, page.height - 31)
    draw.text(credit, CREDIT, font=font(18), fill=_FAINT_INK, anchor="rm")
    return page


def _write_legend(draw: ImageDraw.ImageDraw, picture: FlightPicture, *, top: int) -> None:
    """Two rows of keys: the frames and the route above, the areas below."""
    counts = {outcome: sum(frame.outcome is outcome for frame in picture.frames) for outcome in FrameOutcome}
    upper: list[_Key] = [
        (f"{outcome.value}: {counts[outcome]}", _dot_key(_OUTCOME_COLOURS[outcome]))
        for outcome in FrameOutcome
    ]
    upper.append(("route", _draw_route_key))
    lower: list[_Key] = [
        (f"{classification.value} sector", _sector_key(SECTOR_COLOURS[classification]))
        for classification in SectorClassification
    ]
    lower.append((f"tile made on board: {len(picture.onboard)}", lambda d, box: draw_onboard(d, box, 1)))
    lower.append((f"tile evicted: {len(picture.evicted)}", lambda d, box: draw_evicted(d, box, 1)))
    for row, keys in enumerate((upper, lower)):
        left, middle = _MARGIN, top + 33 + row * 40
        for text, draw_key in keys:
            draw_key(draw, (left, middle - 10, left + 30, middle + 10))
            draw.text((left + 42, middle), text, font=font(18), fill=_INK, anchor="lm")
            left += 290


_Key = tuple[str, Callable[[ImageDraw.ImageDraw, Box], None]]
"""A legend's text and what draws its sign into a box."""


def _dot_key(colour: Colour) -> Callable[[ImageDraw.ImageDraw, Box], None]:
    return lambda draw, box: draw_dot(draw, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), colour, 1)


def _sector_key(colour: Colour) -> Callable[[ImageDraw.ImageDraw, Box], None]:
    return lambda draw, box: draw.rectangle(box, fill=(*colour, 90), outline=colour, width=2)


def _draw_route_key(draw: ImageDraw.ImageDraw, box: Box) -> None:
    middle = (box[1] + box[3]) / 2
    draw.line([(box[0], middle), (box[2], middle)], fill=ROUTE, width=2)
