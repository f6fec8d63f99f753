"""A descriptor index whose answers leave recalled tiles out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ..errors import TileCacheError
from ..values.areas import Area
from ..values.descriptors import SearchHit
from ..values.recall_list import RecallList
from ..values.tiles import TileId
from .searchable_index import IndexInFront, SearchableIndex

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

WIDENED = 8
"""How many times as many hits are asked for when recalled ones were among them."""
MOST_GRAPH_HITS = 4_096
"""The most hits that the graph is asked for: its search takes longer with their number."""


class HoldsBack(Protocol):
    """The part of a `RecallGuard` that a search uses."""

    @property
    def in_force(self) -> RecallList | None: ...

    def look(self) -> None: ...

    def entry_for(
        self, tile_id: TileId, captured_us: int | None, content_sha256: str | None
    ) -> str | None: ...

    def record_held_back(self, call: str, tile_ids: Sequence[TileId]) -> None: ...


class TileFacts(Protocol):
    """The calls to a store that tell what recall lists name tiles by; see `ReadableTiles`."""

    def captured_us(self, tile_id: TileId) -> int | None: ...

    def content_sha256(self, tile_id: TileId) -> str | None: ...


class RecalledIndex(IndexInFront):
    """A `DescriptorIndex` without the tiles of the recall list in force. Has the optional abilities too.

    A search looks for a newer list first. With recalled tiles among its hits the index is asked for more,
    until `k` others are found or there are none: in an area none is missed; the graph is asked for
    `MOST_GRAPH_HITS` at most, so beside thousands of recalled tiles it may find fewer than `k`.

    `store()` is the store in use, or None while none is open: then tiles are recalled by area alone.
    """

    def __init__(
        self, index: SearchableIndex, recalls: HoldsBack, *, store: Callable[[], TileFacts | None]
    ) -> None:
        super().__init__(index)
        self._recalls = recalls
        self._store = store

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        """See `DescriptorIndex`."""
        return self._found(k, MOST_GRAPH_HITS, lambda wanted: self._index.search(descriptor, wanted))

    def search_within(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        """See `SupportsAreaSearch`."""
        return self._found(k, None, lambda wanted: self._index.search_within(descriptor, wanted, area))

    def _found(self, k: int, most: int | None, search: Callable[[int], list[SearchHit]]) -> list[SearchHit]:
        self._recalls.look()
        hits = search(k)
        if self._recalls.in_force is None:
            return hits
        store, wanted, most = self._store(), k, None if most is None else max(k, most)
        while True:
            held_back = [hit.tile_id for hit in hits if self._is_recalled(hit.tile_id, store)]
            if not held_back:
                return hits
            recalled = frozenset(held_back)
            left = [hit for hit in hits if hit.tile_id not in recalled]
            if len(left) >= k or len(hits) < wanted or wanted == most:
                self._recalls.record_held_back("lookup", held_back)
                return left[:k]
            wanted = wanted * WIDENED if most is None else min(wanted * WIDENED, most)
            hits = search(wanted)

    def _is_recalled(self, tile_id: TileId, store: TileFacts | None) -> bool:
        captured_us = content_sha256 = None
        if store is not None:
            with suppress(TileCacheError):  # damaged facts of a base; the read of the tile reports them
                captured_us, content_sha256 = store.captured_us(tile_id), store.content_sha256(tile_id)
        return self._recalls.entry_for(tile_id, captured_us, content_sha256) is not None
