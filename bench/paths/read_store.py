"""The store that reads are measured on, and which of its tiles each path reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from harness.dataset import shuffled, tile_id
from harness.page_cache import fill_page_cache
from harness.workshop import FilledStore, Workshop

from aerotile import TileId

TILES_OF_THE_STORE = "store-reads/tiles"
"""Where `reading_store` keeps its tiles, in the workshop."""


def kept_numbers(workshop: Workshop, reader: str = "") -> list[int]:
    """The tiles that P-1 reads again and again, in this reader's order.

    Everybody reads the same tiles, but each in an order of its own: in one order, who comes second in a block
    would find what the first has just brought into the processor's caches.
    """
    return shuffled(range(workshop.sizes.tiles // 2), crc32(reader.encode()))


def first_time_numbers(workshop: Workshop, reader: str) -> list[int]:
    """The tiles that P-2 reads, ours each once, in this reader's order; P-1 reads none of them."""
    return shuffled(range(workshop.sizes.tiles // 2, workshop.sizes.tiles), crc32(reader.encode()))


@contextmanager
def reading_store(workshop: Workshop) -> Iterator[FilledStore]:
    """The store that is read."""
    yield workshop.filled("reads", range(workshop.sizes.tiles))


def filling_page_cache(stored_in: str = TILES_OF_THE_STORE) -> Callable[[Workshop], None]:
    """What brings a subject's files into the page cache before each of its blocks."""
    return lambda workshop: fill_page_cache(workshop.path(stored_in))


def every_tile(workshop: Workshop) -> Iterator[tuple[TileId, bytes]]:
    """All its tiles, for peers to hold."""
    for tile, path in every_file(workshop):
        yield tile, path.read_bytes()


def every_file(workshop: Workshop) -> Iterator[tuple[TileId, Path]]:
    """All its tiles, and the file of each."""
    folder = workshop.shared(reading_store).config.tiles_folder
    for number in range(workshop.sizes.tiles):
        tile = tile_id(number)
        yield tile, folder / relative_path(tile)


def relative_path(tile: TileId) -> str:
    """Where a tile's file lies below the tiles' folder."""
    return f"{tile.source.value}/{tile.zoom_level}/{tile.x}/{tile.y}.jpg"
