"""P-3: one tile durable, with every gate, its sidecar and its row.

Every subject writes the same tiles, each once, into ten folders that are there before. "Made durable": where
a peer leaves it out, the file and its folder are synced by us, and SQLite syncs each commit.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from functools import partial

from harness.bare_rows import INSERT, bare_connection, row_values
from harness.dataset import Supply, metadata_of, tile_id, tile_pixels
from harness.operations import Calls, Operation
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import FilledStore, Workshop
from peers import diskcache_tiles, lmdb_tiles, mapproxy_tiles, mbtiles

from aerotile import TileMetadata
from aerotile.adapters.filesystem.disk import Disk

WRITTEN_COLUMNS = 10
_FULL = Effort(blocks=10, rounds=100)
_QUICK = Effort(blocks=5, rounds=25)
Tile = tuple[bytes, TileMetadata]
Write = Callable[[bytes, TileMetadata], object]


def written_tiles(workshop: Workshop) -> list[Tile]:
    """The tiles of this path, enough for every block; they live in memory, so that no read is timed."""
    effort = _QUICK if workshop.sizes.quick else _FULL
    count = effort.blocks * effort.rounds + effort.rounds // 4
    made = []
    for number in range(count):
        pixels = tile_pixels(number)
        made.append((pixels, metadata_of(tile_id(number, WRITTEN_COLUMNS), pixels)))
    return made


@contextmanager
def _tiles(workshop: Workshop) -> Iterator[list[Tile]]:
    yield written_tiles(workshop)


def _writing(
    opener: Callable[[Workshop], AbstractContextManager[Write]],
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """A subject that writes each tile once."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        supply = Supply(workshop.shared(_tiles), "tiles")
        with opener(workshop) as write:
            yield Calls(
                call=lambda tile: write(*tile),
                arguments=supply.arguments,
            )

    return opened


@contextmanager
def writes_of_ours(workshop: Workshop, name: str = "writes") -> Iterator[Write]:
    """`write_tile` of a new store."""
    store = FilledStore.of(workshop.config(name)).store
    # One tile beside each column's first: the folders are there, as for everybody.
    for column in range(WRITTEN_COLUMNS):
        pixels = tile_pixels(column)
        beside = tile_id(column + WRITTEN_COLUMNS * 100_000, WRITTEN_COLUMNS)
        store.write_tile(pixels, metadata_of(beside, pixels))
    yield store.write_tile


@contextmanager
def _inserting(workshop: Workshop, name: str) -> Iterator[Callable[[TileMetadata], None]]:
    """INSERT and commit of the same row."""
    with bare_connection(workshop.database(name)) as connection:
        now = datetime.now(timezone.utc)

        def insert(metadata: TileMetadata) -> None:
            connection.execute(INSERT, row_values(metadata, now))

        yield insert


@contextmanager
def _placing(workshop: Workshop, name: str, function: str) -> Iterator[Write]:
    """The C file floor: no hash, no sidecar, no row."""
    place = getattr(workshop.floors.load("place_tile"), function)
    place.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    root = workshop.path(name)
    folders = {}
    for column in range(WRITTEN_COLUMNS):
        x = tile_id(column, WRITTEN_COLUMNS).x
        (root / str(x)).mkdir(parents=True)
        folders[x] = os.open(root / str(x), os.O_RDONLY | os.O_DIRECTORY)

    def write(pixels: bytes, metadata: TileMetadata) -> None:
        tile = metadata.tile_id
        named = b"%d.jpg" % tile.y
        failure = place(folders[tile.x], b"." + named, named, pixels, len(pixels))
        if failure != 0:
            raise OSError(failure, os.strerror(failure))

    yield write
    for folder in folders.values():
        os.close(folder)


def best_placing(workshop: Workshop) -> str:
    """The fastest placing that is durable on this file system, by the rule that the store goes by itself."""
    folder = os.open(workshop.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        one_is_enough = Disk.of(folder).name_syncing_device != 0
    finally:
        os.close(folder)
    return "place_with_one_sync" if one_is_enough else "place_with_two_syncs"


@contextmanager
def writes_of_the_floor(workshop: Workshop, name: str = "writes") -> Iterator[Write]:
    """Hash, file and row, and nothing else."""
    with (
        _placing(workshop, f"{name}-floor", best_placing(workshop)) as place,
        _inserting(workshop, f"{name} floor") as insert,
    ):

        def write(pixels: bytes, metadata: TileMetadata) -> None:
            if hashlib.sha256(pixels).hexdigest() != metadata.content_sha256:
                raise AssertionError("the data set is damaged")
            place(pixels, metadata)
            insert(metadata)

        yield write


@contextmanager
def _part_file(workshop: Workshop, function: str) -> Iterator[Write]:
    with _placing(workshop, f"writes-{function}", function) as place:
        yield place


@contextmanager
def _part_row(workshop: Workshop) -> Iterator[Write]:
    with _inserting(workshop, "writes row") as insert:
        yield lambda pixels, metadata: insert(metadata)


@contextmanager
def _part_hash(workshop: Workshop) -> Iterator[Write]:
    yield lambda pixels, metadata: hashlib.sha256(pixels).hexdigest()


@contextmanager
def writes_of_mapproxy(workshop: Workshop, name: str = "writes") -> Iterator[Write]:
    """MapProxy's file, made durable, and the row."""
    cache = mapproxy_tiles.file_cache(workshop.path(f"{name}.mapproxy"))
    with _inserting(workshop, f"{name} mapproxy file") as insert:

        def write(pixels: bytes, metadata: TileMetadata) -> None:
            tile = mapproxy_tiles.new_tile(metadata.tile_id, pixels)
            cache.store_tile(tile)
            mapproxy_tiles.sync_file(cache.tile_location(tile))
            insert(metadata)

        yield write


@contextmanager
def _diskcache(workshop: Workshop) -> Iterator[Write]:
    with (
        diskcache_tiles.cache(workshop.path("writes.diskcache"), durable=True) as cache,
        _inserting(workshop, "writes diskcache") as insert,
    ):

        def write(pixels: bytes, metadata: TileMetadata) -> None:
            cache[diskcache_tiles.key(metadata.tile_id)] = pixels
            insert(metadata)

        yield write


@contextmanager
def _sqlite(workshop: Workshop) -> Iterator[Write]:
    connection = mbtiles.connect(workshop.path("writes.mbtiles"))
    yield lambda pixels, metadata: connection.execute(
        mbtiles.INSERT, (*mbtiles.key(metadata.tile_id), pixels)
    )
    connection.close()


@contextmanager
def _lmdb(workshop: Workshop) -> Iterator[Write]:
    with lmdb_tiles.environment(workshop.path("writes.lmdb"), durable=True) as environment:
        yield lambda pixels, metadata: lmdb_tiles.put_all(environment, [(metadata.tile_id, pixels)])


ONE_TILE = MeasuredPath(
    id="P-3",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_writing(writes_of_ours)),
        Subject(
            name="sha256 + C file + INSERT",
            role=Role.FLOOR,
            open=_writing(writes_of_the_floor),
            note="no gate but the hash, no sidecar, no accounting; one sync where that names it, else two",
        ),
        Subject(
            name="MapProxy file made durable + row",
            role=Role.PEER,
            open=_writing(writes_of_mapproxy),
            needs=("mapproxy",),
            note="no hash, no gate, no sidecar; file and folder synced by us",
        ),
        Subject(
            name="diskcache made durable + row",
            role=Role.PEER,
            open=_writing(_diskcache),
            needs=("diskcache",),
            note="no hash, no gate, no file; sqlite_synchronous FULL",
        ),
        Subject(
            name="SQLite MBTiles, WAL FULL",
            role=Role.REFERENCE,
            open=_writing(_sqlite),
            note="no hash, no gate, no file, no row of metadata",
        ),
        Subject(
            name="lmdb, synced",
            role=Role.REFERENCE,
            open=_writing(_lmdb),
            needs=("lmdb",),
            note="no hash, no gate, no file, no row of metadata",
        ),
        Subject(name="part: sha256", role=Role.REFERENCE, open=_writing(_part_hash)),
        Subject(
            name="part: C file, one sync",
            role=Role.REFERENCE,
            open=_writing(partial(_part_file, function="place_with_one_sync")),
            note="O_TMPFILE, linkat, fsync; durable with its name on an ext4 with a journal and XFS",
        ),
        Subject(
            name="part: C file, two syncs",
            role=Role.REFERENCE,
            open=_writing(partial(_part_file, function="place_with_two_syncs")),
            note="temporary file, fdatasync, rename, fsync of the folder",
        ),
        Subject(name="part: INSERT + commit", role=Role.REFERENCE, open=_writing(_part_row)),
    ),
    full=_FULL,
    quick=_QUICK,
)
