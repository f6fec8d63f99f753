"""Bare psycopg over rows like ours: what floors and peers pay for "the same row".

The table is `LIKE tiles INCLUDING ALL`: our columns, checks and indexes, without the accounting of bytes, the
locks and the notices that the store adds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import psycopg

from aerotile import TileMetadata

TABLE = "bare_tiles"
COLUMNS = {
    "zoom_level": "int2",
    "x": "int4",
    "y": "int4",
    "source": "text",
    "flight_id": "uuid",
    "captured_at": "timestamptz",
    "freshness_status": "text",
    "tile_size_pixels": "int4",
    "ground_sample_distance": "float8",
    "created_at": "timestamptz",
    "accessed_at": "timestamptz",
    "tile_uuid": "uuid",
    "location_hash": "uuid",
    "content_sha256": "text",
    "disk_bytes": "int8",
}
INSERT = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"
COPY = f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"


def row_values(metadata: TileMetadata, created_at: datetime) -> tuple[Any, ...]:
    """One row, in the order of `COLUMNS`."""
    tile = metadata.tile_id
    return (
        tile.zoom_level,
        tile.x,
        tile.y,
        tile.source.value,
        tile.flight_id,
        metadata.captured_at,
        metadata.freshness_label.value,
        metadata.tile_size_pixels,
        metadata.ground_sample_distance,
        created_at,
        created_at,
        tile.tile_uuid,
        tile.location_hash,
        metadata.content_sha256,
        metadata.disk_bytes,
    )


def bare_connection(dsn: str) -> psycopg.Connection[Any]:
    """A connection in autocommit mode to a database in which the table is empty; statements get prepared."""
    connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (LIKE tiles INCLUDING ALL)")
    return connection


def copy_rows(
    connection: psycopg.Connection[Any], rows: Iterable[tuple[Any, ...]], statement: str = COPY
) -> None:
    """Rows by binary COPY, in the transaction that is open or one of their own."""
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(list(COLUMNS.values()))
        for row in rows:
            copy.write_row(row)
