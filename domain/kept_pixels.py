"""Pixels that stay open between reads: the port, and an implementation in plain Python.

A first read opens a tile's file and hands it over to be kept; later reads get a handle on the same memory at
the cost of a look-up. The look-up notes the read, so that the least recently used tiles are known without a
clock.

What is kept must never outlive its tile. A reader takes a ticket before it asks whether the tile is there,
and whoever removes a tile first takes it out of the catalogue and then drops it here. So when a drop comes
between ticket and `keep`, the ticket is void and nothing is kept; when it came before the ticket, the reader
does not find the tile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import attrs

from .ports import TilePixelHandle
from .tiles import TileId

MAX_NOTED = 65_536
"""Reads remembered of tiles that are not kept any more; beyond it the oldest are forgotten."""

_DROP_COUNTERS = 1_024
"""A ticket is void when another tile with the same counter was dropped; then the next read is kept."""


@attrs.frozen(kw_only=True)
class KeptPixelsCounts:
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


class KeptPixels(Protocol):
    """The open pixels of tiles that were read. Any number of threads may call any method at once."""

    def get(self, tile_id: TileId) -> TilePixelHandle | None:
        """A new handle on the tile's pixels, and a note of the read; None when they are not kept."""
        ...

    def ticket(self, tile_id: TileId) -> int:
        """What `keep` asks for; to be taken before the catalogue is asked for the tile."""
        ...

    def keep(self, tile_id: TileId, handle: TilePixelHandle, ticket: int) -> TilePixelHandle:
        """Keep the pixels of a tile that was just opened, note the read, and return the handle to hand out.

        Nothing is kept when the tile was dropped since the ticket was taken, when it is larger than the
        whole bound, and after `close`.
        """
        ...

    def note(self, tile_id: TileId) -> None:
        """Note a read that passed by what is kept."""
        ...

    def drop(self, tile_id: TileId) -> None:
        """Keep the tile no more; to be called when the catalogue does not hold it any more.

        No `get` after this finds what was there before. Handles stay valid.
        """
        ...

    def drop_all(self) -> None:
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

    def counts(self) -> KeptPixelsCounts:
        """How often keeping helped."""
        ...

    def close(self) -> None:
        """Keep nothing any more. Handles stay valid."""
        ...


@attrs.define
class _Kept:
    handle: TilePixelHandle
    used: bool = False


class PlainKeptPixels:
    """`KeptPixels` in plain Python over any handle that can be shared, for stores in memory.

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
        """See `KeptPixels`."""
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
        """See `KeptPixels`."""
        return self._drops[hash(tile_id) % _DROP_COUNTERS]

    def keep(self, tile_id: TileId, handle: TilePixelHandle, ticket: int) -> TilePixelHandle:
        """See `KeptPixels`."""
        with self._lock:
            if tile_id not in self._kept and self._may_keep(tile_id, handle, ticket):
                self._make_room_for(handle.nbytes)
                self._kept[tile_id] = _Kept(handle.share())
                self._kept_bytes += handle.nbytes
        self.note(tile_id)
        return handle

    def note(self, tile_id: TileId) -> None:
        """See `KeptPixels`."""
        with self._lock:
            known = self._reads.pop(tile_id, tile_id) is None
            self._reads[tile_id] = None
            if len(self._reads) > MAX_NOTED:
                del self._reads[next(iter(self._reads))]
            full = not known and len(self._reads) == self._flush_entries
        if full:
            self._when_full()

    def drop(self, tile_id: TileId) -> None:
        """See `KeptPixels`."""
        with self._lock:
            self._drops[hash(tile_id) % _DROP_COUNTERS] += 1
            self._forget(tile_id)

    def drop_all(self) -> None:
        """See `KeptPixels`."""
        with self._lock:
            self._drops = [count + 1 for count in self._drops]
            for tile_id in list(self._kept):
                self._forget(tile_id)

    def drain_reads(self) -> list[TileId]:
        """See `KeptPixels`."""
        with self._lock:
            reads, self._reads = self._reads, {}
        return list(reads)

    def release(self) -> int:
        """See `KeptPixels`."""
        return 0

    def make_room(self) -> None:
        """See `KeptPixels`."""
        with self._lock:
            for _ in range(len(self._kept) // 8 + 1):
                self._evict()

    def counts(self) -> KeptPixelsCounts:
        """See `KeptPixels`."""
        with self._lock:
            return KeptPixelsCounts(
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
        """See `KeptPixels`."""
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
