"""The SQL of `tile_rows` and `transactions`; the other adapters hold the SQL that they send.

A tile's row is found by `tile_uuid`, which follows from the tile's id.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ...domain.errors import StoreUnavailableError
from ...domain.values.disk_usage import BLOCK_BYTES, PAIR_BYTES, DiskUsage
from .address import Connection
from .advisory_locks import STORE_LOCK
from .predicates import HAS_CONTENT, MAY_BE_EVICTED
from .row_values import ID_COLUMNS, INSERTED, METADATA_COLUMNS, REPLACED, TILE_COLUMNS

SELECT_TILES = f"SELECT {TILE_COLUMNS} FROM tiles WHERE tile_uuid = ANY(%s) AND {HAS_CONTENT}"
SELECT_ALL = f"SELECT {TILE_COLUMNS} FROM tiles WHERE {HAS_CONTENT}"
SELECT_METADATA = f"SELECT {METADATA_COLUMNS} FROM tiles WHERE {HAS_CONTENT}"
COUNT_TILES = f"SELECT source, zoom_level, count(*) FROM tiles WHERE {HAS_CONTENT} GROUP BY 1, 2"
COUNT_BY_DATASET = f"SELECT dataset, count(*) FROM tiles WHERE {HAS_CONTENT} GROUP BY 1"
# Rows of one column without a gap have the same difference of row and rank.
SELECT_RUNS = f"""
    SELECT zoom_level, x, min(y), max(y)
    FROM (
        SELECT zoom_level, x, y, y - row_number() OVER (PARTITION BY zoom_level, x ORDER BY y) AS run
        FROM (SELECT DISTINCT zoom_level, x, y FROM tiles WHERE {HAS_CONTENT}) AS places
    ) AS ranked
    GROUP BY zoom_level, x, run
    ORDER BY zoom_level, x, min(y)
"""
SELECT_INCOMPLETE = f"SELECT {ID_COLUMNS} FROM tiles WHERE NOT {HAS_CONTENT} ORDER BY id"
SELECT_MARKED_MISSING = f"SELECT {ID_COLUMNS} FROM tiles WHERE file_missing_at IS NOT NULL"
SELECT_LABELS = f"""
    SELECT {ID_COLUMNS}, captured_at, created_at, freshness_status FROM tiles
    WHERE {HAS_CONTENT} AND freshness_status IN ('fresh', 'downgraded')
    AND NOT (freshness_status = 'fresh' AND created_at - captured_at <= %s)
"""
SELECT_TOTAL = "SELECT total_bytes FROM disk_usage"
SELECT_USAGE = "SELECT total_bytes, footprint_bytes, onboard_footprint_bytes FROM disk_usage"
SELECT_STORE_ID = "SELECT store_id FROM disk_usage"
SELECT_LATEST = f"""
    SELECT max(captured_at), max(COALESCE(accessed_at, created_at)) FROM tiles WHERE {HAS_CONTENT}
"""

# One statement for one tile: the store's lock first, then the row, then the wait for the tile's lock (see
# AWAIT_TILES). OFFSET 0 keeps the planner from leaving the lock out.
INSERT_TILE = f"""
    INSERT INTO tiles ({", ".join(INSERTED)})
    SELECT {", ".join(f"%s::{kind}" for kind in INSERTED.values())}
    FROM (SELECT pg_advisory_xact_lock_shared({STORE_LOCK[0]}, {STORE_LOCK[1]}) OFFSET 0) AS store
    RETURNING pg_current_xact_id()::text, pg_advisory_lock_shared(%s), pg_advisory_unlock_shared(%s)
"""
INSERT_TILES = f"""
    INSERT INTO tiles ({", ".join(INSERTED)})
    SELECT * FROM unnest({", ".join(f"%s::{kind}[]" for kind in INSERTED.values())})
    ON CONFLICT DO NOTHING
    RETURNING tile_uuid
"""
AMEND_TILE = "UPDATE tiles SET captured_at = %s, freshness_status = %s WHERE tile_uuid = %s"
AMENDED_TRACE = "SELECT EXISTS (SELECT FROM tiles WHERE captured_at = %s AND tile_uuid = %s)"
# The row is locked and known to be there. A pin stays, and an access time never goes back.
REPLACE_TILE = f"""
    UPDATE tiles SET
        {", ".join(f"{column} = %s" for column in REPLACED)},
        accessed_at = GREATEST(accessed_at, %s),
        uploaded_at = NULL, upload_attempts = 0, file_missing_at = NULL
    WHERE tile_uuid = %s
"""
ADD_UNSETTLED = """
    INSERT INTO unsettled_replacements (tile_uuid, content_sha256) VALUES (%s, %s)
    ON CONFLICT (tile_uuid) DO UPDATE SET content_sha256 = EXCLUDED.content_sha256
"""
REPLACED_TRACE = """
    SELECT EXISTS (SELECT FROM tiles WHERE tile_uuid = %s AND content_sha256 = %s AND created_at = %s)
"""
# A tile that was deleted while it was unsettled, and written anew since, has other content.
SELECT_UNSETTLED = f"""
    SELECT {ID_COLUMNS} FROM tiles JOIN unsettled_replacements USING (tile_uuid, content_sha256)
"""
SELECT_UNSETTLED_AMONG = f"{SELECT_UNSETTLED} WHERE tile_uuid = ANY(%s)"
# The hash: the tile may have been replaced once more meanwhile, by a writer that has not settled it yet.
SETTLE_TILE = """
    WITH settled AS (
        DELETE FROM unsettled_replacements WHERE tile_uuid = %s AND content_sha256 = %s RETURNING tile_uuid
    )
    SELECT pg_notify('aerotile_tiles', concat('~', concat_ws('/', zoom_level, x, y, source, flight_id)))
    FROM settled JOIN tiles USING (tile_uuid)
"""
SETTLE_GONE_TILE = """
    DELETE FROM unsettled_replacements AS u
    WHERE tile_uuid = %s AND NOT EXISTS (SELECT FROM tiles WHERE tiles.tile_uuid = u.tile_uuid)
"""
_FREED = "RETURNING COALESCE(disk_bytes, 0), pg_current_xact_id()::text"
DELETE_TILE = f"DELETE FROM tiles WHERE tile_uuid = %s {_FREED}"
EVICT_TILE = f"DELETE FROM tiles WHERE tile_uuid = %s AND {MAY_BE_EVICTED} {_FREED}"
COPY_TILES = f"COPY tiles ({', '.join(INSERTED)}) FROM STDIN (FORMAT binary)"
SELECT_XID = "SELECT pg_current_xact_id()::text"
DELETE_TILES = "DELETE FROM tiles WHERE tile_uuid = ANY(%s)"
COMPLETE_TILE = f"""
    WITH incomplete AS (
        SELECT id, disk_bytes FROM tiles WHERE tile_uuid = %s AND NOT {HAS_CONTENT} FOR UPDATE
    )
    UPDATE tiles SET
        content_sha256 = COALESCE(tiles.content_sha256, %s),
        disk_bytes = COALESCE(tiles.disk_bytes, %s),
        accessed_at = COALESCE(tiles.accessed_at, tiles.created_at)
    FROM incomplete WHERE tiles.id = incomplete.id
    RETURNING tiles.disk_bytes - COALESCE(incomplete.disk_bytes, 0), pg_current_xact_id()::text
"""

UPDATE_FILES_MISSING = """
    UPDATE tiles SET file_missing_at = %s WHERE tile_uuid = ANY(%s) AND file_missing_at IS NULL
"""
UPDATE_FILES_PRESENT = """
    UPDATE tiles SET file_missing_at = NULL WHERE tile_uuid = ANY(%s) AND file_missing_at IS NOT NULL
"""

# Refused by a constraint when a ceiling (NULL: none) would be passed: an error, unlike an UPDATE of no row,
# also keeps the COMMIT that was sent right behind it from being done. The share stops onboard tiles only, and
# no ceiling stops what makes the store smaller.
ADD_DISK_BYTES = """
    UPDATE disk_usage SET
        total_bytes = total_bytes + added.bytes,
        footprint_bytes = CASE
            WHEN added.footprint > 0 AND footprint_bytes + added.footprint > %s::bigint THEN -1
            ELSE footprint_bytes + added.footprint
        END,
        onboard_footprint_bytes = CASE
            WHEN added.onboard > 0 AND onboard_footprint_bytes + added.onboard > %s::bigint THEN -1
            ELSE onboard_footprint_bytes + added.onboard
        END
    FROM (VALUES (%s::bigint, %s::bigint, %s::bigint)) AS added (bytes, footprint, onboard)
"""
CEILING_CONSTRAINTS = ("ck_disk_usage_footprint_bytes", "ck_disk_usage_onboard_footprint_bytes")
"""Of the whole budget, and of the onboard share."""

_FOOTPRINT = f"((disk_bytes + {BLOCK_BYTES - 1}) / {BLOCK_BYTES} * {BLOCK_BYTES} + {PAIR_BYTES})"
FOOTPRINT_SUMS = (
    f"COALESCE(sum{_FOOTPRINT}, 0), COALESCE(sum{_FOOTPRINT} FILTER (WHERE source = 'onboard'), 0)"
)
"""The two sums of `disk_usage` over all rows, `domain.values.disk_usage.footprint` in SQL."""
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
COMPLETED_TRACE = f"SELECT EXISTS (SELECT FROM tiles WHERE tile_uuid = %s AND {HAS_CONTENT})"


def read_total(connection: Connection) -> int:
    """The sum of all committed tiles' bytes. Raises `StoreUnavailableError` where no row has it."""
    return int(_read_store(connection, SELECT_TOTAL)[0])


def read_usage(connection: Connection) -> DiskUsage:
    """What all committed tiles take. Raises as `read_total`."""
    return DiskUsage(*_read_store(connection, SELECT_USAGE))


def read_store_id(connection: Connection) -> UUID:
    """The identity of the store. Raises `StoreUnavailableError` where no row has it."""
    return UUID(str(_read_store(connection, SELECT_STORE_ID)[0]))


def _read_store(connection: Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    if row is None:
        raise StoreUnavailableError(
            "table disk_usage has lost its row",
            remedy="INSERT INTO disk_usage (total_bytes, store_id, footprint_bytes, onboard_footprint_bytes) "
            "SELECT COALESCE(sum(disk_bytes), 0), 'the UUID in .aerotile-store', "
            f"{FOOTPRINT_SUMS} FROM tiles",
        )
    return row
