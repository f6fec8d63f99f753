"""P-5: which tiles lie in a box, 49 of a large store.

The boxes are seven tiles wide and high. Peers are given columns and rows, made outside the timing; ours
starts from latitudes and longitudes. Everybody's answer is checked once to have 49 tiles.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import psycopg
from harness.dataset import FIRST_X, FIRST_Y, ZOOM, Cycle, tile_id
from harness.linked_store import COLUMNS_OF_TILES, linked_config, linked_store
from harness.operations import Calls, Operation
from harness.subjects import Effort, GrowthCurve, MeasuredPath, Role, Subject
from harness.workshop import FilledStore, Workshop

from aerotile import Bbox, TileId, TileSource, VariantTable, encode_tile_key

SIDE = 7
_BOXES = 4096
_VARIANTS = VariantTable()


@attrs.frozen
class Square:
    """A box of `SIDE` x `SIDE` tiles by its least column and row."""

    x: int
    y: int

    @property
    def bbox(self) -> Bbox:
        """From the middle of the first tile to the middle of the last."""
        north, west = TileId(ZOOM, self.x, self.y, TileSource.IMPORTED).centre
        south, east = TileId(ZOOM, self.x + SIDE - 1, self.y + SIDE - 1, TileSource.IMPORTED).centre
        return Bbox(south, west, north, east)


def squares(size: int) -> list[Square]:
    """Boxes that lie wholly among the first `size` tiles."""
    noise = random.Random(5)
    columns, rows = min(size, COLUMNS_OF_TILES), max(1, size // COLUMNS_OF_TILES)
    return [
        Square(FIRST_X + noise.randrange(columns - SIDE), FIRST_Y + noise.randrange(max(1, rows - SIDE + 1)))
        for _ in range(_BOXES)
    ]


def _checked(call: Callable[..., Any], arguments: Callable[[], tuple[Any, ...]]) -> Calls:
    found = len(call(*arguments()))
    if found != SIDE * SIDE:
        raise AssertionError(f"a box of {SIDE * SIDE} tiles gave {found}")
    return Calls(call=call, arguments=arguments)


@contextmanager
def catalogue_store(workshop: Workshop) -> Iterator[FilledStore]:
    """The large store."""
    with linked_store(workshop, workshop.sizes.catalogue_tiles) as store:
        yield store


def _boxes(size: int) -> Cycle:
    return Cycle([square.bbox for square in squares(size)])


@contextmanager
def _ours(workshop: Workshop) -> Iterator[Operation]:
    query: Any = workshop.shared(catalogue_store).store.query_by_bbox  # type: ignore[attr-defined] # it can
    yield _checked(lambda box: query(box, ZOOM), _boxes(workshop.sizes.catalogue_tiles).arguments)


@contextmanager
def _ours_decoded(workshop: Workshop) -> Iterator[Operation]:
    query: Any = workshop.shared(catalogue_store).store.query_by_bbox  # type: ignore[attr-defined] # it can
    boxes = _boxes(workshop.sizes.catalogue_tiles)
    yield _checked(lambda box: query(box, ZOOM).tile_ids(), boxes.arguments)


def _spread(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    spread = np.zeros_like(values)
    for bit in range(22):
        spread |= (values >> bit & 1) << (2 * bit)
    return spread


def _sorted_keys(size: int) -> npt.NDArray[np.int64]:
    numbers = np.arange(size, dtype=np.int64)
    curve = (
        _spread(FIRST_X + numbers % COLUMNS_OF_TILES) | _spread(FIRST_Y + numbers // COLUMNS_OF_TILES) << 1
    )
    keys = (ZOOM << 44 | curve) << 14
    if int(keys[0]) != encode_tile_key(tile_id(0), _VARIANTS):
        raise AssertionError("the floor's keys are not the tiles'")
    return np.sort(keys)


@contextmanager
def _numpy(workshop: Workshop) -> Iterator[Operation]:
    keys = _sorted_keys(workshop.sizes.catalogue_tiles)
    of_x = _spread(np.arange(FIRST_X, FIRST_X + COLUMNS_OF_TILES, dtype=np.int64)) << 14
    of_y = (ZOOM << 44 | _spread(np.arange(FIRST_Y, FIRST_Y + COLUMNS_OF_TILES, dtype=np.int64)) << 1) << 14

    def query(x: int, y: int) -> npt.NDArray[np.int64]:
        wanted = (of_x[x : x + SIDE, np.newaxis] | of_y[y : y + SIDE]).ravel()
        places = keys.searchsorted(wanted)
        found: npt.NDArray[np.int64] = places[keys[places] == wanted]
        return found

    arguments = Cycle([(s.x - FIRST_X, s.y - FIRST_Y) for s in squares(workshop.sizes.catalogue_tiles)])

    def columns_and_rows() -> tuple[int, int]:
        (place,) = arguments.arguments()
        x, y = place
        return x, y

    yield _checked(query, columns_and_rows)


def _corners(size: int) -> list[tuple[int, int, int, int]]:
    return [(s.x, s.x + SIDE - 1, s.y, s.y + SIDE - 1) for s in squares(size)]


@contextmanager
def _sqlite_rtree(workshop: Workshop) -> Iterator[Operation]:
    size = workshop.sizes.catalogue_tiles
    connection = sqlite3.connect(workshop.path("boxes.rtree.sqlite"), isolation_level=None)
    connection.execute("PRAGMA mmap_size=8589934592")
    connection.execute("CREATE VIRTUAL TABLE boxes USING rtree_i32(id, first_x, last_x, first_y, last_y)")
    connection.execute("BEGIN")
    tiles = (tile_id(number) for number in range(size))
    connection.executemany(
        "INSERT INTO boxes VALUES (?, ?, ?, ?, ?)",
        ((number, tile.x, tile.x, tile.y, tile.y) for number, tile in enumerate(tiles)),
    )
    connection.execute("COMMIT")
    select = "SELECT id FROM boxes WHERE last_x >= ? AND first_x <= ? AND last_y >= ? AND first_y <= ?"
    yield _checked(lambda box: connection.execute(select, box).fetchall(), Cycle(_corners(size)).arguments)
    connection.close()


@contextmanager
def _sqlite_morton(workshop: Workshop) -> Iterator[Operation]:
    size = workshop.sizes.catalogue_tiles
    connection = sqlite3.connect(workshop.path("boxes.morton.sqlite"), isolation_level=None)
    connection.execute("PRAGMA mmap_size=8589934592")
    connection.execute(
        "CREATE TABLE boxes (key INTEGER PRIMARY KEY, captured_us INTEGER, disk_bytes INTEGER)"
    )
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO boxes VALUES (?, 0, 30000)", ((key,) for key in _sorted_keys(size).tolist())
    )
    connection.execute("COMMIT")
    select = f"SELECT * FROM boxes WHERE key IN ({', '.join('?' * SIDE * SIDE)})"
    wanted = [
        [
            encode_tile_key(
                TileId(ZOOM, square.x + dx, square.y + dy, TileSource.SATELLITE_PROVIDER), _VARIANTS
            )
            for dx in range(SIDE)
            for dy in range(SIDE)
        ]
        for square in squares(size)[:512]
    ]
    yield _checked(lambda keys: connection.execute(select, keys).fetchall(), Cycle(wanted).arguments)
    connection.close()


@contextmanager
def _postgres(workshop: Workshop) -> Iterator[Operation]:
    size = workshop.sizes.catalogue_tiles
    dsn = linked_config(workshop, size).database.dsn
    assert dsn is not None
    select = (
        "SELECT x, y, captured_at, disk_bytes FROM tiles "
        f"WHERE zoom_level = {ZOOM} AND x BETWEEN %s AND %s AND y BETWEEN %s AND %s"
    )
    with psycopg.connect(dsn.reveal(), autocommit=True, prepare_threshold=0) as connection:
        cursor = connection.cursor(binary=True)
        yield _checked(lambda box: cursor.execute(select, box).fetchall(), Cycle(_corners(size)).arguments)


BBOX = MeasuredPath(
    id="P-5",
    subjects=(
        Subject(
            name="Aerotile",
            role=Role.OURS,
            open=_ours,
            note="49 keys with their facts, a tile id is made of a key when it is asked for",
        ),
        Subject(
            name="numpy",
            role=Role.FLOOR,
            open=_numpy,
            note="49 keys from tables of the Z-curve, one searchsorted, one comparison; no facts",
        ),
        Subject(
            name="SQLite R*Tree",
            role=Role.PEER,
            open=_sqlite_rtree,
            note="whole numbers, mapped; ids only",
        ),
        Subject(
            name="SQLite Morton",
            role=Role.PEER,
            open=_sqlite_morton,
            note="49 keys of an INTEGER PRIMARY KEY, made outside the timing; mapped",
        ),
        Subject(
            name="PostgreSQL btree",
            role=Role.PEER,
            open=_postgres,
            note="bare psycopg, prepared, binary, over our own index of zoom, x, y",
        ),
        Subject(
            name="Aerotile, every tile id made",
            role=Role.REFERENCE,
            open=_ours_decoded,
        ),
    ),
    full=Effort(blocks=10, rounds=250),
    quick=Effort(blocks=5, rounds=60),
)


@contextmanager
def _grown(workshop: Workshop, size: int) -> Iterator[Operation]:
    with linked_store(workshop, size) as store:
        query: Any = store.store.query_by_bbox  # type: ignore[attr-defined] # it can
        yield Calls(call=lambda box: query(box, ZOOM), arguments=_boxes(size).arguments)


GROWTH = GrowthCurve(
    id="P-5",
    of="tiles",
    sizes=(1_000, 10_000, 100_000, 1_000_000),
    open=_grown,
)
