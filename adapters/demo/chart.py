"""The map half of the demo's picture: a Web-Mercator drawing with grid, sectors, tiles, route and frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
from PIL import Image, ImageDraw, ImageFont

from ...domain.values.sectors import SectorBoundary, SectorClassification
from ...domain.values.tile_grid import MAX_LATITUDE, Bbox, GridRange
from .imagery import BlueMarble

FINER = 2
"""The map is drawn this many times larger and then reduced, for smooth edges."""

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

PAPER: Colour = (16, 22, 32)
ROUTE: Colour = (255, 255, 255)
ONBOARD: Colour = (60, 210, 255)
EVICTED: Colour = (232, 120, 255)
SECTOR_COLOURS: dict[SectorClassification, Colour] = {
    SectorClassification.ACTIVE_CONFLICT: (240, 62, 50),
    SectorClassification.STABLE_REAR: (255, 180, 40),
}
_GRID_OPACITY = 30
_SECTOR_OPACITY = 58


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface, so that no font of the machine is needed."""
    return ImageFont.load_default(size)


@attrs.frozen(eq=False)
class Chart:
    """A drawing of one area. Its methods take degrees; shapes are clipped to the area."""

    zoom_level: int
    west: float
    north: float
    """The north-west corner as a (fractional) tile position at `zoom_level`."""
    pixels_per_tile: float
    image: Image.Image
    draw: ImageDraw.ImageDraw

    @classmethod
    def over(cls, imagery: BlueMarble, area: Bbox, *, zoom_level: int, width: int) -> Chart:
        """The base map of an area, `width` pixels wide when finished."""
        west, north = _position(area.max_lat, area.min_lon, zoom_level)
        east, south = _position(area.min_lat, area.max_lon, zoom_level)
        scale = width / (east - west)
        height = round((south - north) * scale)
        pixels = imagery.cut_mercator(
            west=west,
            north=north,
            zoom_level=zoom_level,
            columns=width,
            rows=height,
            pixels_per_tile=scale,
        )
        image = Image.fromarray(pixels).resize((width * FINER, height * FINER), Image.Resampling.BICUBIC)
        # Mode RGBA on an RGB image blends each shape with the pixels under it.
        return cls(zoom_level, west, north, scale * FINER, image, ImageDraw.Draw(image, "RGBA"))

    def finished(self) -> Image.Image:
        """The drawing at its final size."""
        return self.image.resize(
            (self.image.width // FINER, self.image.height // FINER), Image.Resampling.LANCZOS
        )

    def point(self, lat: float, lon: float) -> tuple[float, float]:
        """A position in pixels of the large drawing."""
        x, y = _position(lat, lon, self.zoom_level)
        return (x - self.west) * self.pixels_per_tile, (y - self.north) * self.pixels_per_tile

    def box(self, bbox: Bbox) -> Box:
        """A box in pixels of the large drawing."""
        return (*self.point(bbox.max_lat, bbox.min_lon), *self.point(bbox.min_lat, bbox.max_lon))

    def add_grid(self, area: Bbox) -> None:
        """The tile grid, faintly."""
        tiles = GridRange.covering(area, self.zoom_level)
        width, height = self.image.size
        for x in range(tiles.min_x, tiles.max_x + 1):
            column = (x - self.west) * self.pixels_per_tile
            self.draw.line([(column, 0), (column, height)], fill=(*ROUTE, _GRID_OPACITY), width=FINER)
        for y in range(tiles.min_y, tiles.max_y + 1):
            row = (y - self.north) * self.pixels_per_tile
            self.draw.line([(0, row), (width, row)], fill=(*ROUTE, _GRID_OPACITY), width=FINER)

    def add_sector(self, sector: SectorBoundary) -> None:
        """The sector as a translucent box with its name on it."""
        colour = SECTOR_COLOURS[sector.classification]
        box = self.box(sector.bbox)
        self.draw.rectangle(box, fill=(*colour, _SECTOR_OPACITY), outline=(*colour, 240), width=2 * FINER)
        # The name stands above the box, where it hides no part of the sector.
        pad = 4 * FINER
        place = (box[0] + 2 * pad, box[1] - 6 * FINER)
        typeface = font(15 * FINER)
        left, _, right, _ = self.draw.textbbox(place, sector.sector_id, font=typeface, anchor="ls")
        plate = (left - 2 * pad, box[1] - 23 * FINER, right + 2 * pad, box[1])
        self.draw.rounded_rectangle(
            plate, radius=4 * FINER, fill=(*colour, 240), corners=(True, True, False, False)
        )
        self.draw.text(place, sector.sector_id, font=typeface, fill=(*PAPER, 255), anchor="ls")

    def add_evicted(self, bbox: Bbox) -> None:
        """A tile's box, hatched."""
        draw_evicted(self.draw, self.box(bbox), FINER)

    def add_onboard(self, bbox: Bbox) -> None:
        """A tile's box, outlined."""
        draw_onboard(self.draw, self.box(bbox), FINER)

    def add_route(self, route: Sequence[tuple[float, float]]) -> None:
        """The route as a light line with a dark edge."""
        if len(route) < 2:
            return
        points = [self.point(lat, lon) for lat, lon in route]
        self.draw.line(points, fill=(*PAPER, 190), width=5 * FINER, joint="curve")
        self.draw.line(points, fill=(*ROUTE, 240), width=2 * FINER, joint="curve")

    def add_dot(self, lat: float, lon: float, colour: Colour) -> None:
        """A frame."""
        draw_dot(self.draw, self.point(lat, lon), colour, FINER)


def draw_evicted(draw: ImageDraw.ImageDraw, box: Box, scale: int) -> None:
    """Diagonal hatching in an outline."""
    left, top, right, bottom = box
    step = 7 * scale
    for offset in range(step, round(right - left + bottom - top), step):
        diagonal = left + top + offset
        start = (max(left, diagonal - bottom), min(bottom, diagonal - left))
        end = (min(right, diagonal - top), max(top, diagonal - right))
        draw.line([start, end], fill=(*EVICTED, 170), width=scale)
    draw.rectangle(box, outline=(*EVICTED, 220), width=scale)


def draw_onboard(draw: ImageDraw.ImageDraw, box: Box, scale: int) -> None:
    """A strong outline."""
    draw.rectangle(box, outline=(*ONBOARD, 255), width=2 * scale)


def draw_dot(draw: ImageDraw.ImageDraw, place: tuple[float, float], colour: Colour, scale: int) -> None:
    """A filled disc with a dark rim."""
    draw.circle(place, 5 * scale, fill=(*colour, 255), outline=(*PAPER, 255), width=scale)


def _position(lat: float, lon: float, zoom_level: int) -> tuple[float, float]:
    """A place's fractional tile position (OGC WebMercatorQuad); latitudes are cut to the world's edge."""
    sine = math.sin(math.radians(max(-MAX_LATITUDE, min(MAX_LATITUDE, lat))))
    world = 1 << zoom_level
    return (lon / 360.0 + 0.5) * world, (0.5 - math.atanh(sine) / (2 * math.pi)) * world
