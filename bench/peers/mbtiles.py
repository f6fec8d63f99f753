"""SQLite in the MBTiles layout: one table with a unique index, one BLOB per tile."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from aerotile import TileId

SELECT = "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
INSERT = "INSERT INTO tiles VALUES (?, ?, ?, ?)"
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS tiles (
        zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB
    );
    CREATE UNIQUE INDEX IF NOT EXISTS tile_index ON tiles (zoom_level, tile_column, tile_row);
"""


def key(tile: TileId) -> tuple[int, int, int]:
    """Zoom, column, row; MBTiles counts rows from the south."""
    return tile.zoom_level, tile.x, (1 << tile.zoom_level) - 1 - tile.y


def connect(path: Path, *, mmap_bytes: int = 0) -> sqlite3.Connection:
    """A connection in WAL mode whose every commit is synced (`synchronous=FULL`)."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA mmap_size={mmap_bytes}")
    connection.executescript(_SCHEMA)
    return connection


def put_all(connection: sqlite3.Connection, tiles: Iterable[tuple[TileId, bytes]]) -> None:
    """Store tiles in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, ((*key(tile), pixels) for tile, pixels in tiles))
    connection.execute("COMMIT")
