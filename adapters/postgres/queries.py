"""The SQL over `tiles` and `disk_usage`, and how a row becomes a value.

A tile is found by `tile_uuid`, which follows from its id. Rows from revision 0001 whose hash or size is not
known yet are left out of everything that returns tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from ...domain.errors import StoreUnavailableError, TileMetadataError
from ...domain.values.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadataPersistent,
    TileQualityMetadata,
    TileSource,
    VotingStatus,
)
from .address import Connection

# Two-number advisory locks of a database; tiles have the one-number ones for themselves.
MIGRATION_LOCK = (0x4145524F, 1)
STORE_LOCK = (0x4145524F, 2)
"""Held in common from INSERT to COMMIT, and alone by whoever must see no write half done."""

_ZERO_FLIGHT = "'00000000-0000-0000-0000-000000000000'::uuid"
_COMPLETE = "content_sha256 IS NOT NULL AND disk_bytes IS NOT NULL"
_MAY_BE_EVICTED = f"""
    {_COMPLETE} AND NOT pinned
    AND (source <> 'onboard' OR uploaded_at IS NOT NULL OR voting_status = 'upload_giveup')
"""
TILE_COLUMNS = """
    zoom_level, x, y, source, flight_id, captured_at, content_sha256, disk_bytes, tile_size_pixels,
    ground_sample_distance, freshness_status, voting_status, horizontal_error_m, inlier_count,
    mean_reprojection_error_px, sharpness, location_hash, tile_uuid, created_at,
    COALESCE(accessed_at, created_at), uploaded_at, upload_attempts, pinned
"""

SELECT_TILE = f"SELECT {TILE_COLUMNS} FROM tiles WHERE tile_uuid = %s AND {_COMPLETE}"
SELECT_TILE_FOR_UPDATE = f"{SELECT_TILE} FOR UPDATE"
SELECT_TILES = f"SELECT {TILE_COLUMNS} FROM tiles WHERE tile_uuid = ANY(%s) AND {_COMPLETE}"
SELECT_ALL = f"SELECT {TILE_COLUMNS} FROM tiles WHERE {_COMPLETE}"
# The columns that `ext.CatalogueCopy` reads. Text stays text: the server is what a COPY waits for.
COPY_CATALOGUE = f"""
    COPY (
        SELECT zoom_level, x, y, source, flight_id, captured_at, COALESCE(accessed_at, created_at),
            disk_bytes, freshness_status = 'fresh', voting_status, pinned, uploaded_at IS NOT NULL,
            content_sha256
        FROM tiles WHERE {_COMPLETE}
    ) TO STDOUT (FORMAT binary)
"""
NO_STATEMENT_TIMEOUT = "SELECT set_config('statement_timeout', '0', true)"
COUNT_TILES = f"SELECT source, zoom_level, count(*) FROM tiles WHERE {_COMPLETE} GROUP BY source, zoom_level"
SELECT_BBOX = f"""
    SELECT {TILE_COLUMNS} FROM tiles
    WHERE zoom_level = %s AND x BETWEEN %s AND %s AND y BETWEEN %s AND %s AND {_COMPLETE}
    ORDER BY x, y, source, COALESCE(flight_id, {_ZERO_FLIGHT})
"""
SELECT_PENDING_UPLOADS = f"""
    SELECT {TILE_COLUMNS} FROM tiles
    WHERE source = 'onboard' AND uploaded_at IS NULL AND {_COMPLETE}
        AND (voting_status IS NULL OR voting_status NOT IN ('rejected', 'upload_giveup'))
    ORDER BY created_at, id
    LIMIT %s
"""
SELECT_LRU_CANDIDATES = f"""
    SELECT {TILE_COLUMNS} FROM tiles
    WHERE {_MAY_BE_EVICTED}
    ORDER BY accessed_at NULLS FIRST, id
    LIMIT %s
"""
SELECT_INCOMPLETE = f"""
    SELECT zoom_level, x, y, source, flight_id FROM tiles WHERE NOT ({_COMPLETE}) ORDER BY id
"""
SELECT_MARKED_MISSING = """
    SELECT zoom_level, x, y, source, flight_id FROM tiles WHERE file_missing_at IS NOT NULL
"""
SELECT_TOTAL = "SELECT total_bytes FROM disk_usage"
SELECT_STORE_ID = "SELECT store_id FROM disk_usage"
SELECT_NOW = "SELECT now()"
SELECT_LATEST = f"""
    SELECT max(captured_at), max(COALESCE(accessed_at, created_at)) FROM tiles WHERE {_COMPLETE}
"""

# What an INSERT gives, and the type of each; `insert_values` and `copy_format` give them in this order.
_INSERTED = {
    "zoom_level": "smallint",
    "x": "integer",
    "y": "integer",
    "source": "text",
    "flight_id": "uuid",
    "captured_at": "timestamptz",
    "freshness_status": "text",
    "voting_status": "text",
    "tile_size_pixels": "integer",
    "ground_sample_distance": "double precision",
    "horizontal_error_m": "double precision",
    "inlier_count": "integer",
    "mean_reprojection_error_px": "double precision",
    "sharpness": "double precision",
    "created_at": "timestamptz",
    "accessed_at": "timestamptz",
    "tile_uuid": "uuid",
    "location_hash": "uuid",
    "content_sha256": "text",
    "disk_bytes": "bigint",
}
# One statement for one tile: the store's lock first, then the row, then the wait for the tile's lock (see
# AWAIT_TILES). OFFSET 0 keeps the planner from leaving the lock out.
INSERT_TILE = f"""
    INSERT INTO tiles ({", ".join(_INSERTED)})
    SELECT {", ".join(f"%s::{kind}" for kind in _INSERTED.values())}
    FROM (SELECT pg_advisory_xact_lock_shared({STORE_LOCK[0]}, {STORE_LOCK[1]}) OFFSET 0) AS store
    RETURNING pg_current_xact_id()::text, pg_advisory_lock_shared(%s), pg_advisory_unlock_shared(%s)
"""
INSERT_TILES = f"""
    INSERT INTO tiles ({", ".join(_INSERTED)})
    SELECT * FROM unnest({", ".join(f"%s::{kind}[]" for kind in _INSERTED.values())})
    ON CONFLICT DO NOTHING
    RETURNING tile_uuid
"""
_FREED = "RETURNING COALESCE(disk_bytes, 0), pg_current_xact_id()::text"
DELETE_TILE = f"DELETE FROM tiles WHERE tile_uuid = %s {_FREED}"
EVICT_TILE = f"DELETE FROM tiles WHERE tile_uuid = %s AND {_MAY_BE_EVICTED} {_FREED}"
COPY_TILES = f"COPY tiles ({', '.join(_INSERTED)}) FROM STDIN (FORMAT binary)"
SELECT_XID = "SELECT pg_current_xact_id()::text"
DELETE_TILES = "DELETE FROM tiles WHERE tile_uuid = ANY(%s)"
COMPLETE_TILE = f"""
    WITH incomplete AS (
        SELECT id, disk_bytes FROM tiles WHERE tile_uuid = %s AND NOT ({_COMPLETE}) FOR UPDATE
    )
    UPDATE tiles SET
        content_sha256 = COALESCE(tiles.content_sha256, %s),
        disk_bytes = COALESCE(tiles.disk_bytes, %s),
        accessed_at = COALESCE(tiles.accessed_at, tiles.created_at)
    FROM incomplete WHERE tiles.id = incomplete.id
    RETURNING tiles.disk_bytes - COALESCE(incomplete.disk_bytes, 0), pg_current_xact_id()::text
"""
UPDATE_VOTING_STATUS = "UPDATE tiles SET voting_status = %s WHERE tile_uuid = %s"
UPDATE_UPLOADED = """
    UPDATE tiles SET uploaded_at = %s
    WHERE tile_uuid = %s AND content_sha256 = %s AND disk_bytes IS NOT NULL AND uploaded_at IS NULL
    RETURNING true
"""
UPDATE_PINNED = f"UPDATE tiles SET pinned = %s WHERE tile_uuid = %s AND {_COMPLETE} RETURNING true"
UPDATE_UPLOAD_ATTEMPTS = f"""
    UPDATE tiles SET upload_attempts = upload_attempts + 1
    WHERE tile_uuid = %s AND {_COMPLETE}
    RETURNING upload_attempts
"""
# The rows are locked in one order, so that two batches at once can't wait for each other, and looked at as
# they are once they are locked, so that time does not go back.
UPDATE_ACCESSED = """
    WITH accessed AS (
        SELECT tiles.id, given.accessed_at
        FROM tiles JOIN unnest(%s::uuid[], %s::timestamptz[]) AS given (tile_uuid, accessed_at)
            USING (tile_uuid)
        WHERE tiles.accessed_at IS NULL OR tiles.accessed_at < given.accessed_at
        ORDER BY tiles.id
        FOR NO KEY UPDATE OF tiles
    )
    UPDATE tiles SET accessed_at = accessed.accessed_at
    FROM accessed WHERE tiles.id = accessed.id
"""
UPDATE_FILES_MISSING = """
    UPDATE tiles SET file_missing_at = %s WHERE tile_uuid = ANY(%s) AND file_missing_at IS NULL
"""
UPDATE_FILES_PRESENT = """
    UPDATE tiles SET file_missing_at = NULL WHERE tile_uuid = ANY(%s) AND file_missing_at IS NOT NULL
"""

# Refused by ck_disk_usage_total_bytes when the ceiling (NULL: none) would be passed: an error, unlike an
# UPDATE of no row, also keeps the COMMIT that was sent right behind it from being done.
ADD_DISK_BYTES = """
    UPDATE disk_usage SET total_bytes = CASE
        WHEN total_bytes + %s::bigint > %s::bigint THEN -1
        ELSE total_bytes + %s::bigint
    END
"""
CEILING_CONSTRAINT = "ck_disk_usage_total_bytes"

XACT_STATUS = "SELECT pg_xact_status(%s::xid8)"
TERMINATE_XACT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_xid = %s::xid8::xid
"""
# Traces of a transaction, for when its connection was lost. A row that was committed and then evicted leaves
# none, and is not stored any more; a batch is committed as a whole, so that one row is enough.
INSERTED_TRACE = """
    SELECT EXISTS (
        SELECT FROM tiles JOIN unnest(%s::uuid[], %s::text[]) AS given (tile_uuid, content_sha256)
            USING (tile_uuid, content_sha256)
        WHERE created_at = %s
    )
"""
DELETED_TRACE = "SELECT NOT EXISTS (SELECT FROM tiles WHERE tile_uuid = %s)"
COMPLETED_TRACE = f"SELECT EXISTS (SELECT FROM tiles WHERE tile_uuid = %s AND {_COMPLETE})"

VOTED_TRACE = "SELECT EXISTS (SELECT FROM tiles WHERE voting_status = %s AND tile_uuid = %s)"
ATTEMPTED_TRACE = "SELECT EXISTS (SELECT FROM tiles WHERE tile_uuid = %s AND upload_attempts >= %s)"

LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(%s, %s)"
LOCK_EXCLUSIVE = "SELECT pg_advisory_xact_lock(%s, %s)"
LOCK_TILE = "SELECT pg_advisory_lock(%s)"
UNLOCK_TILE = "SELECT pg_advisory_unlock(%s)"
# Waits for each tile's lock in turn and holds none of them: see `rows`.
AWAIT_TILES = """
    SELECT pg_advisory_lock_shared(tile), pg_advisory_unlock_shared(tile) FROM unnest(%s::bigint[]) AS tile
"""

# 'stale' and 'unknown' are what revision 0001 called tiles that the gate would not have passed as fresh.
_FRESHNESS_LABELS = {
    "fresh": FreshnessLabel.FRESH,
    "downgraded": FreshnessLabel.DOWNGRADED,
    "stale": FreshnessLabel.DOWNGRADED,
    "unknown": FreshnessLabel.DOWNGRADED,
}


def read_tile_id(row: Sequence[Any]) -> TileId:
    """The tile id in the first five columns of a row."""
    zoom_level, x, y, source, flight_id = row[:5]
    return TileId(zoom_level, x, y, TileSource(source), flight_id)


def read_tile(row: Sequence[Any]) -> TileMetadataPersistent:
    """The tile in a row of any `SELECT_...` above. Raises `TileMetadataError` for an impossible row."""
    try:
        return TileMetadataPersistent(
            tile_id=read_tile_id(row),
            captured_at=row[5],
            content_sha256=row[6],
            disk_bytes=row[7],
            tile_size_pixels=row[8],
            ground_sample_distance=row[9],
            freshness_label=_FRESHNESS_LABELS[row[10]],
            voting_status=None if row[11] is None else VotingStatus(row[11]),
            quality=None if row[12] is None else TileQualityMetadata(*row[12:16]),
            location_hash=row[16],
            tile_uuid=row[17],
            created_at=row[18],
            accessed_at=row[19],
            uploaded_at=row[20],
            upload_attempts=row[21],
            pinned=row[22],
        )
    except ValueError as error:
        place = "/".join(str(part) for part in (row[3], *row[:3]))
        raise TileMetadataError(f"the database holds an impossible row for tile {place}: {error}") from error


def read_total(connection: Connection) -> int:
    """The sum of all committed tiles' bytes. Raises `StoreUnavailableError` when nobody knows it."""
    return int(_read_store(connection, SELECT_TOTAL))


def read_store_id(connection: Connection) -> UUID:
    """The identity of the store. Raises `StoreUnavailableError` when nobody knows it."""
    return UUID(str(_read_store(connection, SELECT_STORE_ID)))


def _read_store(connection: Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    if row is None:
        raise StoreUnavailableError(
            "table disk_usage has lost its row",
            remedy="INSERT INTO disk_usage (total_bytes, store_id) SELECT COALESCE(sum(disk_bytes), 0), "
            "'the UUID in .aerotile-store' FROM tiles",
        )
    return row[0]


def insert_values(tile: TileMetadataPersistent) -> tuple[Any, ...]:
    """A new tile's row, as `INSERT_TILE` takes it; `INSERT_TILES` takes the columns of many."""
    tile_id, quality = tile.tile_id, tile.quality
    # Whole numbers are allowed as floats; in one column of many rows the driver wants one type.
    return (
        tile_id.zoom_level,
        tile_id.x,
        tile_id.y,
        tile_id.source.value,
        tile_id.flight_id,
        tile.captured_at,
        tile.freshness_label.value,
        None if tile.voting_status is None else tile.voting_status.value,
        tile.tile_size_pixels,
        float(tile.ground_sample_distance),
        None if quality is None else float(quality.horizontal_error_m),
        None if quality is None else quality.inlier_count,
        None if quality is None else float(quality.mean_reprojection_error_px),
        None if quality is None else float(quality.sharpness),
        tile.created_at,
        tile.created_at,
        tile.tile_uuid,
        tile.location_hash,
        tile.content_sha256,
        tile.disk_bytes,
    )


def tile_lock(tile_uuid: UUID) -> int:
    """The number of a tile's advisory lock: half of its UUID, as a signed 64-bit integer."""
    return int.from_bytes(tile_uuid.bytes[:8], "big", signed=True)
