"""The mapping cache in plain Python over any handle that can be shared, for stores in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs

from ...domain.ports.mapping_cache import MAX_NOTED, MappingCacheCounts
from ...domain.values.pixels import TilePixelHandle
from ...domain.values.tiles import TileId

_DROP_COUNTERS = 1_024
"""A ticket is void when another tile with the same counter was dropped; then the next read is kept."""


@attrs.define
class _Kept:
    handle: TilePixelHandle
    used: bool = False


class InMemoryMappingCache:
    """`MappingCache` in plain Python over any handle that can be shared, for stores in memory.

    Closing the last handle on a tile gives its memory back at once, so nothing ever waits for `release`.
    """

    def __init__(
        self,
        *,
        max_count: int = 1_024,
        max_bytes: int = 1 << 30,
        flush_entries: int = 1_000,
        when_full: Callable[[], None] = lambda: None,
    ) -> None:
        """`when_full` is called on the reading thread when `flush_entries` tiles were read since the last
        drain; it must return at once."""
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._flush_entries = flush_entries
        self._when_full = when_full
        self._lock = threading.Lock()
        self._kept: dict[TileId, _Kept] = {}  # in the order in which the clock's hand passes
        self._kept_bytes = 0
        self._drops = [0] * _DROP_COUNTERS
        self._reads: dict[TileId, None] = {}  # in order of the last read
        self._closed = False
        self._hits = self._misses = self._evicted = 0

    def get(self, tile_id: TileId) -> TilePixelHandle | None:
        """See `MappingCache`."""
        with self._lock:
            kept = self._kept.get(tile_id)
            if kept is None:
                self._misses += 1
                return None
            self._hits += 1
            kept.used = True
            handle = kept.handle.share()
        self.note(tile_id)
        return handle

    def ticket(self, tile_id: TileId) -> int:
        """See `MappingCache`."""
        return self._drops[hash(tile_id) % _DROP_COUNTERS]

    def put(self, tile_id: TileId, handle: TilePixelHandle, ticket: int) -> TilePixelHandle:
        """See `MappingCache`."""
        with self._lock:
            if tile_id not in self._kept and self._may_keep(tile_id, handle, ticket):
                self._make_room_for(handle.nbytes)
                self._kept[tile_id] = _Kept(handle.share())
                self._kept_bytes += handle.nbytes
        self.note(tile_id)
        return handle

    def note(self, tile_id: TileId) -> None:
        """See `MappingCache`."""
        with self._lock:
            known = self._reads.pop(tile_id, tile_id) is None
            self._reads[tile_id] = None
            if len(self._reads) > MAX_NOTED:
                del self._reads[next(iter(self._reads))]
            full = not known and len(self._reads) == self._flush_entries
        if full:
            self._when_full()

    def invalidate(self, tile_id: TileId) -> None:
        """See `MappingCache`."""
        with self._lock:
            self._drops[hash(tile_id) % _DROP_COUNTERS] += 1
            self._forget(tile_id)

    def invalidate_all(self) -> None:
        """See `MappingCache`."""
        with self._lock:
            self._drops = [count + 1 for count in self._drops]
            for tile_id in list(self._kept):
                self._forget(tile_id)

    def drain_reads(self) -> list[TileId]:
        """See `MappingCache`."""
        with self._lock:
            reads, self._reads = self._reads, {}
        return list(reads)

    def release(self) -> int:
        """See `MappingCache`."""
        return 0

    def make_room(self) -> None:
        """See `MappingCache`."""
        with self._lock:
            for _ in range(len(self._kept) // 8 + 1):
                self._evict()

    def counts(self) -> MappingCacheCounts:
        """See `MappingCache`."""
        with self._lock:
            return MappingCacheCounts(
                hits=self._hits,
                misses=self._misses,
                kept=len(self._kept),
                kept_bytes=self._kept_bytes,
                evicted=self._evicted,
                released=self._evicted,
                waiting=0,
                released_by_readers=0,
            )

    def close(self) -> None:
        """See `MappingCache`."""
        with self._lock:
            self._closed = True
            for tile_id in list(self._kept):
                self._forget(tile_id)

    def _may_keep(self, tile_id: TileId, handle: TilePixelHandle, ticket: int) -> bool:
        return (
            not self._closed
            and ticket == self._drops[hash(tile_id) % _DROP_COUNTERS]
            and self._max_count > 0
            and handle.nbytes <= self._max_bytes
        )

    def _make_room_for(self, nbytes: int) -> None:
        while len(self._kept) >= self._max_count or self._kept_bytes + nbytes > self._max_bytes:
            self._evict()

    def _evict(self) -> None:
        """Second chance: what was used since the hand passed is passed by once more."""
        while self._kept:
            tile_id, kept = next(iter(self._kept.items()))
            if not kept.used:
                self._forget(tile_id)
                self._evicted += 1
                return
            kept.used = False
            self._kept[tile_id] = self._kept.pop(tile_id)

    def _forget(self, tile_id: TileId) -> None:
        kept = self._kept.pop(tile_id, None)
        if kept is not None:
            self._kept_bytes -= kept.handle.nbytes
            kept.handle.close()
