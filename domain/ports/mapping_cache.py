"""Mappings of tiles that stay open between reads.

A first read maps a tile's file and puts the mapping into the cache; later reads get a handle on the same
memory for the cost of a look-up. The look-up counts the read, so the least recently used tiles are known
without a clock.

A cached mapping must not outlive its tile. A reader takes a ticket before it asks the catalogue for the tile,
and a removal takes the tile out of the catalogue before it invalidates the mapping. When an invalidation
comes between ticket and `put`, the ticket is void and nothing is cached; when it comes before the ticket, the
reader does not find the tile.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from ..values.pixels import TilePixelHandle
from ..values.tiles import TileId

MAX_NOTED = 65_536
"""How many reads of tiles that are not cached are remembered; beyond it the oldest are forgotten."""


@attrs.frozen(kw_only=True)
class MappingCacheCounts:
    """How often the cache helped, and how much it holds."""

    hits: int
    misses: int
    kept: int
    """Tiles cached now."""
    kept_bytes: int
    evicted: int
    """Tiles that were evicted for others, since the beginning."""
    released: int
    """Mappings unmapped by `release`, since the beginning."""
    waiting: int
    """Mappings that wait for `release` now."""
    released_by_readers: int
    """Mappings that a reader had to unmap because too many were waiting."""


class MappingCache(Protocol):
    """The mappings of tiles that were read. Any number of threads may call any method at once."""

    def get(self, tile_id: TileId) -> TilePixelHandle | None:
        """A new handle on the tile's pixels; counts the read. None when the tile is not cached."""

    def ticket(self, tile_id: TileId) -> int:
        """A ticket for `put`; to be taken before the catalogue is asked for the tile."""

    def put(self, tile_id: TileId, handle: TilePixelHandle, ticket: int) -> TilePixelHandle:
        """Cache the pixels of a tile that was just mapped, count the read, return the handle to hand out.

        Nothing is cached when the tile was invalidated since the ticket was taken, when the tile is larger
        than the whole bound, and after `close`.
        """

    def note(self, tile_id: TileId) -> None:
        """Count a read that did not go through the cache."""

    def invalidate(self, tile_id: TileId) -> None:
        """Drop the tile's mapping; to be called after the catalogue has dropped the tile.

        No later `get` finds the old mapping. Handles stay valid.
        """

    def invalidate_all(self) -> None:
        """Drop all mappings, because the catalogue was loaded again. Counted reads stay."""

    def drain_reads(self) -> list[TileId]:
        """The tiles that were read since the last call, least recently read first.

        A tile that was evicted and cached again meanwhile may be listed twice; its last position counts.
        """

    def release(self) -> int:
        """Unmap evicted and invalidated tiles that no handle uses; returns how many."""

    def make_room(self) -> None:
        """Evict and unmap some tiles immediately, because the system refused another mapping."""

    def counts(self) -> MappingCacheCounts:
        """How often the cache helped, and how much it holds."""

    def close(self) -> None:
        """Drop all mappings and cache nothing more. Handles stay valid."""
