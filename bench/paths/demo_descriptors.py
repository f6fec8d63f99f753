"""The demo's own descriptors: Blue Marble through the demo's descriptor, asked by its camera's frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing import get_context
from operator import itemgetter
from typing import TypeVar

import numpy as np

from aerotile.adapters.demo.camera import FramePlan, take_frame, tile_ground_span
from aerotile.adapters.demo.imagery import TILE_SIZE_PIXELS, BlueMarble, Pixels, decode_tile, encode_tile
from aerotile.adapters.demo.mission import CAPE_TO_BEIJING, plan_frames
from aerotile.adapters.descriptor_models.gradient_vlad import GradientVlad
from aerotile.domain.values.tile_grid import GridRange, north_west_corner

from .descriptor_sets import DescriptorSet, Vectors

T = TypeVar("T")
Corner = tuple[float, float]
"""Column and row, with fractions, of a picture's north-west corner."""
_ZOOM = CAPE_TO_BEIJING.search_zoom
_SEED = 7
_THREADS = "OPENBLAS_NUM_THREADS"


def demo_tiles(queries: int) -> DescriptorSet:
    """What the demo indexes and asks: the tiles of its base, and frames along its route."""
    return DescriptorSet.of(
        "the demo's tiles", _described(_picture_at, _tile_corners()), _described(_frame, _plans(queries))
    )


def demo_windows(count: int, queries: int) -> DescriptorSet:
    """The same imagery and frames, but with pictures at any place on land: as many as are asked for.

    They overlap, up to being nearly the same, so neighbours are harder to tell apart than tiles. They come
    from north to south in strips of a thousand, each from west to east.
    """
    tiles = np.array(_tile_corners())
    low, high = tiles.min(axis=0), tiles.max(axis=0)
    rng = np.random.default_rng(_SEED)
    corners: list[Corner] = []
    while len(corners) < count:
        x, y = rng.uniform(low, high).tolist()
        if _imagery().is_land(*north_west_corner(x + 0.5, y + 0.5, _ZOOM)):
            corners.append((x, y))
    corners.sort(key=itemgetter(1))
    strips = (corners[first : first + 1_000] for first in range(0, count, 1_000))
    return DescriptorSet.of(
        f"the demo's imagery, {count} windows",
        _described(_picture_at, [corner for strip in strips for corner in sorted(strip)]),
        _described(_frame, _plans(queries)),
    )


def _tile_corners() -> list[Corner]:
    return [(x, y) for x, y in GridRange.covering(CAPE_TO_BEIJING.area, _ZOOM)]


def _plans(queries: int) -> list[FramePlan]:
    return plan_frames(CAPE_TO_BEIJING, queries, seed=_SEED)


@cache
def _imagery() -> BlueMarble:
    return BlueMarble.load()


@cache
def _model() -> GradientVlad:
    """As the demo learns it: from its tiles."""
    return GradientVlad.fit([_picture_at(corner) for corner in _tile_corners()])


def _picture_at(corner: Corner) -> Pixels:
    west, north = corner
    pixels = _imagery().cut_mercator(
        west=west, north=north, zoom_level=_ZOOM, columns=TILE_SIZE_PIXELS, rows=TILE_SIZE_PIXELS
    )
    # Through JPEG, as the demo's tiles are.
    return decode_tile(encode_tile(pixels))


def _frame(plan: FramePlan) -> Pixels:
    return take_frame(_imagery(), plan, ground_span_m=tile_ground_span(plan.lat, _ZOOM))


def _described(make: Callable[[T], Pixels], items: Sequence[T]) -> Vectors:
    describe = partial(_describe, make, _model())
    with _one_thread_each(), ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return np.stack(list(pool.map(describe, items, chunksize=64)))


def _describe(make: Callable[[T], Pixels], model: GradientVlad, item: T) -> Vectors:
    descriptor: Vectors = model.describe(make(item)[np.newaxis])[0]
    return descriptor


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep processes that are started meanwhile from multiplying matrices on every core, each of them."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
