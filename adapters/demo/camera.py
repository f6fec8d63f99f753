"""A camera that looks straight down: frames sampled from the source raster, off the tile grid."""

from __future__ import annotations

import math

import attrs
import numpy as np
from PIL import Image, ImageFilter

from ...domain.values.tile_grid import EARTH_CIRCUMFERENCE_M, ground_sample_distance
from .imagery import BlueMarble, Pixels, to_pixels

FRAME_SIZE_PIXELS = 256
BLUR_PIXELS = 0.7
"""One standard deviation of the lens's Gaussian blur."""
NOISE_LEVELS = 2.0
"""One standard deviation of the sensor's noise, in 8-bit levels."""
_EARTH_RADIUS_M = EARTH_CIRCUMFERENCE_M / (2 * math.pi)
_MIDDLE_GREY = 128.0


@attrs.frozen(kw_only=True)
class FramePlan:
    """Position and errors of a frame; a flight stack would not know them."""

    number: int
    lat: float
    lon: float
    heading_error: float
    """Degrees clockwise between true north and the frame's upper edge."""
    brightness: float
    """Factor on every level."""
    contrast: float
    """Factor on every level's distance from middle grey."""
    noise_seed: int


def tile_ground_span(lat: float, zoom_level: int) -> float:
    """Metres of ground under one tile's edge at a latitude: the demo camera's footprint."""
    return ground_sample_distance(lat, zoom_level, tile_size_pixels=1)


def take_frame(imagery: BlueMarble, plan: FramePlan, *, ground_span_m: float) -> Pixels:
    """The frame, shape (256, 256, 3), whose edge covers `ground_span_m` metres of ground.

    The ground under a pixel follows from its distance and bearing from the centre on the sphere (inverse
    azimuthal equidistant projection; Snyder, Map Projections, USGS PP 1395, equations 20-14 and 20-15).
    """
    offset = ((np.arange(FRAME_SIZE_PIXELS) + 0.5) / FRAME_SIZE_PIXELS - 0.5) * ground_span_m
    right, up = np.meshgrid(offset, -offset)
    heading = math.radians(plan.heading_error)
    east = right * math.cos(heading) + up * math.sin(heading)
    north = up * math.cos(heading) - right * math.sin(heading)
    # No pixel centre lies on the frame's centre, so the distance is never 0.
    distance = np.hypot(east, north)
    angle = distance / _EARTH_RADIUS_M
    sin_lat, cos_lat = math.sin(math.radians(plan.lat)), math.cos(math.radians(plan.lat))
    lat = np.arcsin(np.cos(angle) * sin_lat + north * np.sin(angle) * cos_lat / distance)
    lon = math.radians(plan.lon) + np.arctan2(
        east * np.sin(angle), distance * cos_lat * np.cos(angle) - north * sin_lat * np.sin(angle)
    )
    degrees_per_pixel = math.degrees(ground_span_m / FRAME_SIZE_PIXELS / (_EARTH_RADIUS_M * cos_lat))
    seen = imagery.sample(np.degrees(lat), np.degrees(lon), degrees_per_pixel)
    return _expose(seen, plan)


def _expose(seen: Pixels, plan: FramePlan) -> Pixels:
    blurred = np.asarray(
        Image.fromarray(seen).filter(ImageFilter.GaussianBlur(BLUR_PIXELS)), dtype=np.float32
    )
    lit = ((blurred - _MIDDLE_GREY) * plan.contrast + _MIDDLE_GREY) * plan.brightness
    noise = np.random.default_rng(plan.noise_seed).normal(0.0, NOISE_LEVELS, lit.shape)
    return to_pixels(lit + noise)
