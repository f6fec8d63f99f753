"""How many tiles were evicted, and which."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .tiles import TileId

LISTED_EVICTIONS = 100
"""How many evicted tiles a tally names; its count is always whole."""


@attrs.define
class EvictionTally:
    """The evictions of a while; filled in by the disk budget."""

    count: int = 0
    freed_bytes: int = 0
    listed: list[TileId] = attrs.field(factory=list)
    """The first `LISTED_EVICTIONS` of them."""

    def add(self, tile_ids: Sequence[TileId], freed_bytes: int) -> None:
        """Count tiles that were evicted."""
        self.count += len(tile_ids)
        self.freed_bytes += freed_bytes
        self.listed += tile_ids[: LISTED_EVICTIONS - len(self.listed)]
