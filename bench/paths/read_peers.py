"""How each peer reads the tiles of the reading store. Keys are made outside the timing."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import attrs
from harness.workshop import Workshop
from peers import diskcache_tiles, lmdb_tiles, mapproxy_tiles, mbtiles

from aerotile import TileId

from .read_store import TILES_OF_THE_STORE, every_tile, reading_store, relative_path

Reader = Callable[[Any], Any]
"""From a peer's own key to a buffer."""
_MMAP_BYTES = 8 << 30
_LACKS = "no hash, no row, no access time"


def same(tile: TileId) -> TileId:
    """The key of those who take a tile id."""
    return tile


@attrs.frozen(kw_only=True)
class ReadingPeer:
    """A peer that reads: `open(workshop)` gives its reader."""

    name: str
    open: Callable[[Workshop], AbstractContextManager[Reader]]
    key: Callable[[TileId], Any] = same
    needs: tuple[str, ...] = ()
    note: str = _LACKS
    maps: bool = False
    """Gives a mapping, not bytes."""
    stored_in: str = TILES_OF_THE_STORE
    """The file or folder in the workshop that it reads from."""


# Each peer is filled once for all paths.


@contextmanager
def _lmdb(workshop: Workshop) -> Iterator[Any]:
    environment = lmdb_tiles.environment(workshop.path("reads.lmdb"), durable=False)
    lmdb_tiles.put_all(environment, every_tile(workshop))
    with environment:
        yield environment


@contextmanager
def _mbtiles(workshop: Workshop) -> Iterator[Any]:
    path = workshop.path("reads.mbtiles")
    connection = mbtiles.connect(path)
    mbtiles.put_all(connection, every_tile(workshop))
    connection.close()
    yield path


@contextmanager
def _diskcache(workshop: Workshop) -> Iterator[Any]:
    with diskcache_tiles.cache(workshop.path("reads.diskcache")) as cache:
        with cache.transact():
            for tile, pixels in every_tile(workshop):
                cache[diskcache_tiles.key(tile)] = pixels
        yield cache


@contextmanager
def _fanout(workshop: Workshop) -> Iterator[Any]:
    with diskcache_tiles.fanout_cache(workshop.path("reads.fanout")) as cache:
        for tile, pixels in every_tile(workshop):
            cache[diskcache_tiles.key(tile)] = pixels
        yield cache


@contextmanager
def _mapproxy_file(workshop: Workshop) -> Iterator[Any]:
    cache = mapproxy_tiles.file_cache(workshop.path("reads.mapproxy"))
    mapproxy_tiles.put_all(cache, every_tile(workshop))
    yield cache


@contextmanager
def _mapproxy_mbtiles(workshop: Workshop) -> Iterator[Any]:
    cache = mapproxy_tiles.mbtiles_cache(workshop.path("reads.mapproxy.mbtiles"))
    cache.store_tiles([mapproxy_tiles.new_tile(tile, pixels) for tile, pixels in every_tile(workshop)])
    yield cache
    cache.cleanup()


@contextmanager
def _lmdb_open_transaction(workshop: Workshop) -> Iterator[Reader]:
    with workshop.shared(_lmdb).begin(buffers=True) as transaction:
        yield transaction.get


@contextmanager
def _lmdb_begin_and_get(workshop: Workshop) -> Iterator[Reader]:
    begin = workshop.shared(_lmdb).begin

    def read(key: bytes) -> bytes:
        with begin() as transaction:
            content: bytes = transaction.get(key)
            return content

    yield read


@contextmanager
def _sqlite(workshop: Workshop, mmap_bytes: int) -> Iterator[Reader]:
    connection = mbtiles.connect(workshop.shared(_mbtiles), mmap_bytes=mmap_bytes)
    execute = connection.execute
    yield lambda key: execute(mbtiles.SELECT, key).fetchone()[0]
    connection.close()


@contextmanager
def _indexed(cache: Any) -> Iterator[Reader]:
    yield cache.__getitem__


@contextmanager
def _mapproxy(cache: Any) -> Iterator[Reader]:
    yield lambda tile: mapproxy_tiles.load(cache, tile)


@contextmanager
def _python_mmap(workshop: Workshop) -> Iterator[Reader]:
    root = str(workshop.shared(reading_store).config.tiles_folder)

    def read(path: str) -> mmap.mmap:
        descriptor = os.open(f"{root}/{path}", os.O_RDONLY)
        try:
            return mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)

    yield read


@contextmanager
def _numpy_memmap(workshop: Workshop) -> Iterator[Reader]:
    import numpy as np

    root = str(workshop.shared(reading_store).config.tiles_folder)
    yield lambda path: np.memmap(f"{root}/{path}", np.uint8, "r")


@contextmanager
def _python_read(workshop: Workshop) -> Iterator[Reader]:
    root = str(workshop.shared(reading_store).config.tiles_folder)

    def read(path: str) -> bytes:
        descriptor = os.open(f"{root}/{path}", os.O_RDONLY)
        try:
            return os.read(descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)

    yield read


LMDB_ZERO_COPY = ReadingPeer(
    name="lmdb zero-copy, open txn",
    open=_lmdb_open_transaction,
    key=lmdb_tiles.key,
    needs=("lmdb",),
    stored_in="reads.lmdb",
    note=f"{_LACKS}; the buffer is valid only while its transaction is open",
    maps=True,
)
LMDB_BYTES = ReadingPeer(
    name="lmdb begin+get",
    open=_lmdb_begin_and_get,
    key=lmdb_tiles.key,
    needs=("lmdb",),
    stored_in="reads.lmdb",
    note=f"{_LACKS}; the bytes are copied, for they outlive the transaction",
)
OTHERS = (
    ReadingPeer(
        name="SQLite MBTiles", open=lambda w: _sqlite(w, 0), key=mbtiles.key, stored_in="reads.mbtiles"
    ),
    ReadingPeer(
        name="SQLite MBTiles, mmap_size",
        open=lambda w: _sqlite(w, _MMAP_BYTES),
        key=mbtiles.key,
        note=f"{_LACKS}; mmap_size 8 GiB",
        stored_in="reads.mbtiles",
    ),
    ReadingPeer(
        name="diskcache",
        open=lambda w: _indexed(w.shared(_diskcache)),
        key=diskcache_tiles.key,
        needs=("diskcache",),
        note=f"{_LACKS}; eviction_policy none",
        stored_in="reads.diskcache",
    ),
    ReadingPeer(
        name="diskcache Fanout",
        open=lambda w: _indexed(w.shared(_fanout)),
        key=diskcache_tiles.key,
        needs=("diskcache",),
        note=f"{_LACKS}; 8 shards, eviction_policy none",
        stored_in="reads.fanout",
    ),
    ReadingPeer(
        name="MapProxy file",
        open=lambda w: _mapproxy(w.shared(_mapproxy_file)),
        needs=("mapproxy",),
        note=f"{_LACKS}; layout tms, nothing decoded",
        stored_in="reads.mapproxy",
    ),
    ReadingPeer(
        name="MapProxy MBTiles",
        open=lambda w: _mapproxy(w.shared(_mapproxy_mbtiles)),
        needs=("mapproxy",),
        note=f"{_LACKS}; wal, nothing decoded",
        stored_in="reads.mapproxy.mbtiles",
    ),
    ReadingPeer(
        name="Python mmap",
        open=_python_mmap,
        key=relative_path,
        note=f"{_LACKS}; mapped anew for each read",
        maps=True,
    ),
    ReadingPeer(
        name="numpy memmap",
        open=_numpy_memmap,
        key=relative_path,
        note=f"{_LACKS}; mapped anew for each read",
        maps=True,
    ),
    ReadingPeer(name="Python open+read", open=_python_read, key=relative_path),
)
