"""The tiles that every subject is given: no pictures, but the structure of a JPEG around random bytes.

The same in every run: tile `number` depends on nothing but its number.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import lru_cache
from itertools import count
from typing import Any

from aerotile import TileId, TileMetadata, TileSource
from aerotile.adapters.memory.example_jpeg import example_jpeg

ZOOM = 18
FIRST_X = 140_000
FIRST_Y = 90_000
MEAN_BYTES = 30_000
_SPREAD_BYTES = 5_000
_CAPTURED_AT = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


def tile_id(number: int, columns: int = 1000) -> TileId:
    """The place of tile `number` in a block `columns` wide, row by row."""
    return TileId(
        ZOOM, FIRST_X + number % columns, FIRST_Y + number // columns, TileSource.SATELLITE_PROVIDER
    )


def tile_bytes(number: int) -> int:
    """The length of tile `number`: about 30 KB."""
    return MEAN_BYTES - _SPREAD_BYTES + number * 7919 % (2 * _SPREAD_BYTES)


def tile_pixels(number: int) -> bytes:
    """The bytes of tile `number`."""
    return example_jpeg(random.Random(number).randbytes(tile_bytes(number)), tile_bytes(number))


def metadata_of(tile: TileId, pixels: bytes) -> TileMetadata:
    """What travels with the bytes."""
    return TileMetadata(
        tile_id=tile,
        captured_at=_CAPTURED_AT,
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=0.59,
    )


@lru_cache(maxsize=4096)
def make_tile(number: int) -> tuple[bytes, TileMetadata]:
    """Tile `number` of the common data set."""
    pixels = tile_pixels(number)
    return pixels, metadata_of(tile_id(number), pixels)


def shuffled(numbers: Sequence[int], seed: int = 18) -> list[int]:
    """The numbers in an order without pattern, the same in every run."""
    order = list(numbers)
    random.Random(seed).shuffle(order)
    return order


class Cycle:
    """The items one after the other, from the start again after the last; each subject has its own."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self._places = count()

    def arguments(self) -> tuple[Any]:
        """The next item, as the arguments of a call."""
        return (self._items[next(self._places) % len(self._items)],)


class Supply:
    """Items of which each is given out once."""

    def __init__(self, items: Sequence[Any], what: str) -> None:
        self._items = iter(items)
        self._what = what

    def arguments(self) -> tuple[Any]:
        """The next item, as the arguments of a call. Raises `RuntimeError` when all are used up."""
        for item in self._items:
            return (item,)
        raise RuntimeError(f"the data set has too few {self._what} for the blocks and rounds of this path")
