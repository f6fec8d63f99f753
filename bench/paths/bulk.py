"""P-4: bulk ingest, durable at the end of each sample. One sample is one batch of tiles never seen before."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from itertools import count
from typing import Any

import attrs
from harness.bare_rows import bare_connection, copy_rows, row_values
from harness.dataset import make_tile, tile_id
from harness.operations import Calls, Operation, Unavailable
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import FilledStore, Workshop
from peers import diskcache_tiles, lmdb_tiles, mapproxy_tiles, mbtiles

from aerotile import TileMetadata

BATCH = 2048
"""Tiles of one sample: 60 MB."""
COLUMNS = 32
_SMALL_BATCH = 256
"""What peers commit at once, as in the measurements that the targets come from."""
Tile = tuple[bytes, TileMetadata]
Ingest = Callable[[Sequence[Tile]], object]


@contextmanager
def _tiles(workshop: Workshop) -> Iterator[list[Tile]]:
    yield [make_tile(number) for number in range(BATCH)]


def placed(tiles: Sequence[Tile], first: int) -> list[Tile]:
    """The same tiles at places of their own."""
    return [
        (pixels, attrs.evolve(metadata, tile_id=tile_id(first + n, COLUMNS)))
        for n, (pixels, metadata) in enumerate(tiles)
    ]


def _ingesting(
    opener: Callable[[Workshop], AbstractContextManager[Ingest]],
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """A subject that takes one batch after the other; pixels repeat, places do not."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        tiles = workshop.shared(_tiles)
        batches = count()

        def next_batch() -> tuple[Sequence[Tile]]:
            return (placed(tiles, next(batches) * BATCH),)

        with opener(workshop) as ingest:
            yield Calls(call=ingest, arguments=next_batch)

    return opened


def _in_small_batches(tiles: Sequence[Tile]) -> Iterator[Sequence[Tile]]:
    for start in range(0, len(tiles), _SMALL_BATCH):
        yield tiles[start : start + _SMALL_BATCH]


@contextmanager
def _ours(workshop: Workshop) -> Iterator[Ingest]:
    store: Any = FilledStore.of(workshop.config("bulk")).store

    def ingest(tiles: Sequence[Tile]) -> None:
        for outcome in store.write_tiles(tiles):
            if outcome.stored is None:
                raise outcome.error

    yield ingest


@contextmanager
def open_floor(workshop: Workshop, name: str = "bulk-floor") -> Iterator[Ingest]:
    """Batches into files by C, into rows by COPY."""
    library = workshop.floors.load("place_many")
    if not library.can_hash():
        raise Unavailable("OpenSSL's libcrypto is not installed")
    threads = min(4, os.cpu_count() or 1)
    root = workshop.path(name)
    for column in range(COLUMNS):
        (root / str(tile_id(column, COLUMNS).x)).mkdir(parents=True)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    now = datetime.now(timezone.utc)

    def ingest(batch: Sequence[Tile]) -> None:
        # Folder by folder: threads that make files in the same folder wait for each other.
        tiles = sorted(batch, key=lambda tile: tile[1].tile_id.x)
        names = [b"%d/%d.jpg" % (metadata.tile_id.x, metadata.tile_id.y) for _, metadata in tiles]
        strings = ctypes.c_char_p * len(tiles)
        failure = library.place_many(
            descriptor,
            ctypes.c_size_t(len(tiles)),
            strings(*(name + b".tmp" for name in names)),
            strings(*names),
            strings(*(pixels for pixels, _ in tiles)),
            (ctypes.c_size_t * len(tiles))(*(len(pixels) for pixels, _ in tiles)),
            threads,
        )
        if failure != 0:
            raise OSError(failure, os.strerror(failure))
        copy_rows(connection, (row_values(metadata, now) for _, metadata in tiles))

    with bare_connection(workshop.database(name)) as connection:
        yield ingest
    os.close(descriptor)


@contextmanager
def _sqlite(workshop: Workshop) -> Iterator[Ingest]:
    connection = mbtiles.connect(workshop.path("bulk.mbtiles"))

    def ingest(tiles: Sequence[Tile]) -> None:
        for batch in _in_small_batches(tiles):
            mbtiles.put_all(connection, ((metadata.tile_id, pixels) for pixels, metadata in batch))

    yield ingest
    connection.close()


@contextmanager
def _mapproxy_file(workshop: Workshop) -> Iterator[Ingest]:
    root = workshop.path("bulk.mapproxy")
    root.mkdir()
    cache = mapproxy_tiles.file_cache(root)
    sync_file_system = ctypes.CDLL(None, use_errno=True).syncfs
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def ingest(tiles: Sequence[Tile]) -> None:
        mapproxy_tiles.put_all(cache, ((metadata.tile_id, pixels) for pixels, metadata in tiles))
        if sync_file_system(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")

    yield ingest
    os.close(descriptor)


@contextmanager
def _mapproxy_mbtiles(workshop: Workshop) -> Iterator[Ingest]:
    cache = mapproxy_tiles.mbtiles_cache(workshop.path("bulk.mapproxy.mbtiles"))

    def ingest(tiles: Sequence[Tile]) -> None:
        for batch in _in_small_batches(tiles):
            cache.store_tiles([mapproxy_tiles.new_tile(m.tile_id, pixels) for pixels, m in batch])

    yield ingest
    cache.cleanup()


@contextmanager
def _diskcache(workshop: Workshop) -> Iterator[Ingest]:
    with diskcache_tiles.cache(workshop.path("bulk.diskcache"), durable=True) as cache:

        def ingest(tiles: Sequence[Tile]) -> None:
            for batch in _in_small_batches(tiles):
                with cache.transact():
                    for pixels, metadata in batch:
                        cache[diskcache_tiles.key(metadata.tile_id)] = pixels

        yield ingest


@contextmanager
def _lmdb(workshop: Workshop) -> Iterator[Ingest]:
    with lmdb_tiles.environment(workshop.path("bulk.lmdb"), durable=True) as environment:

        def ingest(tiles: Sequence[Tile]) -> None:
            for batch in _in_small_batches(tiles):
                lmdb_tiles.put_all(environment, ((metadata.tile_id, pixels) for pixels, metadata in batch))

        yield ingest


_LACKS = "no hash, no gate, no row"

BULK = MeasuredPath(
    id="P-4",
    items=BATCH,
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_ingesting(_ours)),
        Subject(
            name="C syncfs, 4 threads + COPY",
            role=Role.FLOOR,
            open=_ingesting(open_floor),
            note="sha256 included, folder by folder; no gate, sidecar or outcome per tile; then rows",
        ),
        Subject(
            name="SQLite MBTiles",
            role=Role.PEER,
            open=_ingesting(_sqlite),
            note=f"{_LACKS}, no file; 256 per commit, WAL FULL",
        ),
        Subject(
            name="MapProxy file",
            role=Role.PEER,
            open=_ingesting(_mapproxy_file),
            needs=("mapproxy",),
            note=f"{_LACKS}; one syncfs by us at the end of the batch",
        ),
        Subject(
            name="MapProxy MBTiles",
            role=Role.PEER,
            open=_ingesting(_mapproxy_mbtiles),
            needs=("mapproxy",),
            note=f"{_LACKS}, no file; 256 per commit, WAL",
        ),
        Subject(
            name="diskcache",
            role=Role.PEER,
            open=_ingesting(_diskcache),
            needs=("diskcache",),
            note=f"{_LACKS}, no file; 256 per transaction, sqlite_synchronous FULL",
        ),
        Subject(
            name="lmdb batch",
            role=Role.REFERENCE,
            open=_ingesting(_lmdb),
            needs=("lmdb",),
            note=f"{_LACKS}, no file; 256 per transaction, synced: the moonshot",
        ),
    ),
    full=Effort(blocks=6, rounds=1),
    quick=Effort(blocks=2, rounds=1),
)
