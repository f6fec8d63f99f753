"""Reading and hashing tiles ahead on a few threads, in order and with little memory."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import attrs

from ...domain.errors import ContentHashMismatchError
from ...domain.values.tiles import TileId

HashedTiles: TypeAlias = Sequence[tuple[bytes, bytes]]
"""The bytes and the SHA-256 of each of several tiles."""
ReadTiles: TypeAlias = Callable[[Sequence[TileId]], HashedTiles]

_BATCH = 16
"""Tiles that a thread takes at once."""
_MOST_THREADS = 4


@attrs.frozen
class Wanted:
    """A tile, and the length and the SHA-256 that its row promises."""

    tile_id: TileId
    length: int
    sha256: bytes


def one_by_one(read: Callable[[TileId], bytes]) -> ReadTiles:
    """Reads several tiles by a function that reads one."""

    def read_each(tile_ids: Sequence[TileId]) -> HashedTiles:
        return [(pixels, hashlib.sha256(pixels).digest()) for pixels in map(read, tile_ids)]

    return read_each


class ReadAhead:
    """Threads that read; a context manager, whose end waits for the reads under way."""

    def __init__(self, read: ReadTiles) -> None:
        """`read` is called by several threads at a time."""
        self._read = read
        count = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
        self._most_batches = 2 * count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="aerotile-seal")

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *raised: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def tiles(self, wanted: Sequence[Wanted]) -> Iterator[bytes]:
        """The bytes of each tile, in order.

        Raises `ContentHashMismatchError` at a tile that is not what its row promises, and what `read` raises.
        """
        pending: deque[Future[list[bytes]]] = deque()
        for first in range(0, len(wanted), _BATCH):
            pending.append(self._threads.submit(self._checked, wanted[first : first + _BATCH]))
            if len(pending) == self._most_batches:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()

    def _checked(self, batch: Sequence[Wanted]) -> list[bytes]:
        checked = []
        for each, (pixels, sha256) in zip(batch, self._read([each.tile_id for each in batch]), strict=True):
            if len(pixels) != each.length or sha256 != each.sha256:
                raise ContentHashMismatchError(
                    "SHA-256", expected=each.sha256.hex(), actual=sha256.hex(), tile_id=each.tile_id
                )
            checked.append(pixels)
        return checked
