"""The mapping cache in Python, over any handle that can be shared."""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs

from ...domain.ports.mapping_cache import MAX_NOTED, MappingCacheCounts
from ...domain.values.pixels import TilePixelHandle
from ...domain.values.tiles import TileId
from ...domain.values.validators import check_kind

_COUNTERS = 1_024
"""Tiles share counters: invalidating one tile voids the tickets of all tiles with its counter.

A read with a void ticket is answered but not cached; the next read is."""


@attrs.define
class _Cached:
    handle: TilePixelHandle
    used: bool = False


class MemoryMappingCache:
    """`MappingCache` over any handle that can be shared, for stores in memory.

    Closing the last handle on a tile frees its memory immediately, so no mapping ever waits for `release`.
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
        drain; it must return immediately."""
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._flush_entries = flush_entries
        self._when_full = when_full
        self._lock = threading.Lock()
        self._cached: dict[TileId, _Cached] = {}  # in the order of the clock's hand
        self._cached_bytes = 0
        self._invalidations = [0] * _COUNTERS
        self._reads: dict[TileId, None] = {}  # in order of the last read
        self._closed = False
        self._hits = self._misses = self._evicted = 0

    def get(self, tile_id: TileId) -> TilePixelHandle | None:
        check_kind(tile_id, TileId, "tile_id")
        with self._lock:
            cached = self._cached.get(tile_id)
            if cached is None:
                self._misses += 1
                return None
            self._hits += 1
            cached.used = True
            handle = cached.handle.share()
        self.note(tile_id)
        return handle

    def ticket(self, tile_id: TileId) -> int:
        check_kind(tile_id, TileId, "tile_id")
        return self._invalidations[hash(tile_id) % _COUNTERS]

    def put(self, tile_id: TileId, handle: TilePixelHandle, ticket: int) -> TilePixelHandle:
        with self._lock:
            if tile_id not in self._cached and self._may_cache(tile_id, handle, ticket):
                self._make_room_for(handle.nbytes)
                self._cached[tile_id] = _Cached(handle.share())
                self._cached_bytes += handle.nbytes
        self.note(tile_id)
        return handle

    def note(self, tile_id: TileId) -> None:
        with self._lock:
            known = self._reads.pop(tile_id, tile_id) is None
            self._reads[tile_id] = None
            if len(self._reads) > MAX_NOTED:
                del self._reads[next(iter(self._reads))]
            full = not known and len(self._reads) == self._flush_entries
        if full:
            self._when_full()

    def invalidate(self, tile_id: TileId) -> None:
        with self._lock:
            self._invalidations[hash(tile_id) % _COUNTERS] += 1
            self._remove(tile_id)

    def invalidate_all(self) -> None:
        with self._lock:
            self._invalidations = [count + 1 for count in self._invalidations]
            for tile_id in list(self._cached):
                self._remove(tile_id)

    def drain_reads(self) -> list[TileId]:
        with self._lock:
            reads, self._reads = self._reads, {}
        return list(reads)

    def release(self) -> int:
        return 0

    def make_room(self) -> None:
        with self._lock:
            for _ in range(len(self._cached) // 8 + 1):
                self._evict()

    def counts(self) -> MappingCacheCounts:
        with self._lock:
            return MappingCacheCounts(
                hits=self._hits,
                misses=self._misses,
                kept=len(self._cached),
                kept_bytes=self._cached_bytes,
                evicted=self._evicted,
                released=self._evicted,
                waiting=0,
                released_by_readers=0,
            )

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for tile_id in list(self._cached):
                self._remove(tile_id)

    def _may_cache(self, tile_id: TileId, handle: TilePixelHandle, ticket: int) -> bool:
        return (
            not self._closed
            and ticket == self._invalidations[hash(tile_id) % _COUNTERS]
            and self._max_count > 0
            and handle.nbytes <= self._max_bytes
        )

    def _make_room_for(self, nbytes: int) -> None:
        while len(self._cached) >= self._max_count or self._cached_bytes + nbytes > self._max_bytes:
            self._evict()

    def _evict(self) -> None:
        """Second chance: a tile used since the hand last passed is skipped once."""
        while self._cached:
            tile_id, cached = next(iter(self._cached.items()))
            if not cached.used:
                self._remove(tile_id)
                self._evicted += 1
                return
            cached.used = False
            self._cached[tile_id] = self._cached.pop(tile_id)

    def _remove(self, tile_id: TileId) -> None:
        cached = self._cached.pop(tile_id, None)
        if cached is not None:
            self._cached_bytes -= cached.handle.nbytes
            cached.handle.close()
