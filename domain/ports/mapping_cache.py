"""Pixels that stay open between reads: the port, and an implementation in plain Python.

A first read opens a tile's file and hands it over to be kept; later reads get a handle on the same memory at
the cost of a look-up. The look-up notes the read, so that the least recently used tiles are known without a
clock.

What is kept must never outlive its tile. A reader takes a ticket before it asks whether the tile is there,
and whoever removes a tile first takes it out of the catalogue and then drops it here. So when a drop comes
between ticket and `put`, the ticket is void and nothing is kept; when it came before the ticket, the reader
does not find the tile.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from ..values.pixels import TilePixelHandle
from ..values.tiles import TileId

MAX_NOTED = 65_536
"""Reads remembered of tiles that are not kept any more; beyond it the oldest are forgotten."""


@attrs.frozen(kw_only=True)
class MappingCacheCounts:
    """How often keeping helped, and how much is kept now."""

    hits: int
    misses: int
    kept: int
    """Tiles kept now."""
    kept_bytes: int
    evicted: int
    """Tiles that made place for others, since the beginning."""
    released: int
    """Mappings given back by `release`, since the beginning."""
    waiting: int
    """Mappings that wait for `release` now."""
    released_by_readers: int
    """Mappings that a reader had to give back itself because too many were waiting."""


class MappingCache(Protocol):
    """The open pixels of tiles that were read. Any number of threads may call any method at once."""

    def get(self, tile_id: TileId) -> TilePixelHandle | None:
        """A new handle on the tile's pixels, and a note of the read; None when they are not kept."""
        ...

    def ticket(self, tile_id: TileId) -> int:
        """What `put` asks for; to be taken before the catalogue is asked for the tile."""
        ...

    def put(self, tile_id: TileId, handle: TilePixelHandle, ticket: int) -> TilePixelHandle:
        """Keep the pixels of a tile that was just opened, note the read, and return the handle to hand out.

        Nothing is kept when the tile was dropped since the ticket was taken, when it is larger than the
        whole bound, and after `close`.
        """
        ...

    def note(self, tile_id: TileId) -> None:
        """Note a read that passed by what is kept."""
        ...

    def invalidate(self, tile_id: TileId) -> None:
        """Keep the tile no more; to be called when the catalogue does not hold it any more.

        No `get` after this finds what was there before. Handles stay valid.
        """
        ...

    def invalidate_all(self) -> None:
        """Keep no tile any more, as if each was dropped; reads stay noted. The catalogue was loaded anew."""
        ...

    def drain_reads(self) -> list[TileId]:
        """The tiles that were read since the last call, least recently read first.

        A tile that was evicted and kept again in between may stand there twice; its last place counts.
        """
        ...

    def release(self) -> int:
        """Give the memory of evicted and dropped tiles back, as far as no handle uses it; how many."""
        ...

    def make_room(self) -> None:
        """Evict some tiles and give their memory back at once, because the system refused more."""
        ...

    def counts(self) -> MappingCacheCounts:
        """How often keeping helped."""
        ...

    def close(self) -> None:
        """Keep nothing any more. Handles stay valid."""
        ...
