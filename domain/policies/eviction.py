"""Which tiles the disk budget evicts next.

A tile is evicted when four things hold: a write needs room that the budget lacks; the tile may be had again
(`values.tile_rules.may_be_evicted`: neither pinned nor an onboard tile that is pending for upload); it is
an onboard tile where the write is of onboard tiles, which never evict the map; and of those tiles it was read
least recently. `store.disk_budget` counts all of them first, asks for the batches of this module until there
is room, the database checks the tile's row once more when it deletes it, and each batch is recorded as
`c6.eviction_batch`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from ..values.catalogue_entries import CatalogueEntry, EvictionCandidate
from ..values.tiles import TileId


class KnownTiles(Protocol):
    """The calls to the catalogue that an eviction makes."""

    def lru_candidates(self, limit: int, *, onboard_only: bool = False) -> list[EvictionCandidate]: ...

    def get(self, tile_id: TileId) -> CatalogueEntry | None: ...

    def footprint_bytes(self, *, onboard_only: bool = False) -> int: ...

    def evictable_bytes(self, *, onboard_only: bool = False) -> int: ...


class EvictionList:
    """The least recently used tiles, listed a batch at a time; for one thread at a time.

    A listing scans every tile of the catalogue. So the rest of a listing serves the next sweep, without the
    tiles that were read or pinned after the listing. A tile that becomes evictable later waits for the next
    listing.
    """

    def __init__(self, catalogue: KnownTiles, batch_size: int, *, onboard_only: bool) -> None:
        self._catalogue = catalogue
        self._onboard_only = onboard_only
        self._batch_size = batch_size
        self._listed: list[EvictionCandidate] = []
        self._newest: datetime | None = None
        """The access time of the listing's last tile: tiles that were read later have lost their rank."""

    def next_batch(self, passed_over: Collection[TileId]) -> list[EvictionCandidate]:
        """The tiles to evict next, least recently used first, without the tiles in `passed_over`."""
        self._listed = [
            candidate
            for candidate in self._listed
            if candidate.tile_id not in passed_over and self._stands(candidate.tile_id)
        ]
        if not self._listed:
            limit = self._batch_size + len(passed_over)
            listed = self._catalogue.lru_candidates(limit, onboard_only=self._onboard_only)
            self._listed = [candidate for candidate in listed if candidate.tile_id not in passed_over]
            entry = self._catalogue.get(listed[-1].tile_id) if listed else None
            self._newest = None if entry is None else entry.accessed_at
        return self._listed

    def _stands(self, tile_id: TileId) -> bool:
        entry = self._catalogue.get(tile_id)
        if entry is None or self._newest is None:
            return False
        return entry.evictable and entry.accessed_at <= self._newest
