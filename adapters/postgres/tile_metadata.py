"""`TileMetadataStore` over PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ...domain.errors import ContentHashMismatchError, TileNotFoundError
from ...domain.policies.voting import check_voting_step
from ...domain.values.disk_usage import DiskUsage
from ...domain.values.tile_grid import Bbox, GridRange
from ...domain.values.tile_names import ZERO_UUID
from ...domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, VotingStatus
from ...domain.values.validators import check_aware_utc, check_bool, check_kind, check_limit
from .connection import Database
from .predicates import HAS_CONTENT, IS_PENDING_UPLOAD, MAY_BE_EVICTED
from .queries import read_total
from .row_values import (
    ID_COLUMNS,
    SELECT_TILE,
    SELECT_TILE_FOR_UPDATE,
    TILE_COLUMNS,
    read_tile,
    read_tile_id,
)
from .tile_rows import PostgresTileRows
from .transactions import TileTransaction

SELECT_PINNED = f"""
    SELECT {ID_COLUMNS} FROM tiles WHERE pinned AND {HAS_CONTENT}
    ORDER BY zoom_level, x, y, source, COALESCE(flight_id, '{ZERO_UUID}'::uuid)
"""
SELECT_NOW = "SELECT now()"
SELECT_BBOX = f"""
    SELECT {TILE_COLUMNS} FROM tiles
    WHERE zoom_level = %s AND x BETWEEN %s AND %s AND y BETWEEN %s AND %s AND {HAS_CONTENT}
    ORDER BY x, y, source, COALESCE(flight_id, '{ZERO_UUID}'::uuid)
"""
SELECT_PENDING_UPLOADS = f"""
    SELECT {TILE_COLUMNS} FROM tiles
    WHERE {IS_PENDING_UPLOAD}
    ORDER BY created_at, id
    LIMIT %s
"""
SELECT_LRU_CANDIDATES = f"""
    SELECT {TILE_COLUMNS} FROM tiles
    WHERE {MAY_BE_EVICTED}
    ORDER BY accessed_at NULLS FIRST, id
    LIMIT %s
"""
UPDATE_VOTING_STATUS = "UPDATE tiles SET voting_status = %s WHERE tile_uuid = %s"
UPDATE_UPLOADED = f"""
    UPDATE tiles SET uploaded_at = %s
    WHERE tile_uuid = %s AND content_sha256 = %s AND {HAS_CONTENT} AND uploaded_at IS NULL
    RETURNING true
"""
UPDATE_PINNED = f"UPDATE tiles SET pinned = %s WHERE tile_uuid = %s AND {HAS_CONTENT} RETURNING true"
UPDATE_UPLOAD_ATTEMPTS = f"""
    UPDATE tiles SET upload_attempts = upload_attempts + 1
    WHERE tile_uuid = %s AND {HAS_CONTENT}
    RETURNING upload_attempts
"""
COUNT_REJECTION = f"""
    UPDATE tiles SET
        upload_attempts = upload_attempts + 1,
        voting_status = CASE WHEN %s THEN '{VotingStatus.UPLOAD_GIVEUP.value}' ELSE voting_status END
    WHERE tile_uuid = %s AND upload_attempts = %s AND {IS_PENDING_UPLOAD}
    RETURNING true
"""
# The rows are locked in one order, so that two concurrent batches can't wait for each other. Each row is read
# again once it is locked, so that an access time does not go back.
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
VOTED_TRACE = "SELECT EXISTS (SELECT FROM tiles WHERE voting_status = %s AND tile_uuid = %s)"
ATTEMPTED_TRACE = "SELECT EXISTS (SELECT FROM tiles WHERE tile_uuid = %s AND upload_attempts >= %s)"


class PostgresTileMetadataStore:
    """See `TileMetadataStore`. Any number of threads and processes may use it at once."""

    def __init__(self, database: Database, *, disk_budget_bytes: int | None = None) -> None:
        """`disk_budget_bytes` is the ceiling for `insert_metadata` (None: none)."""
        self._database = database
        self._rows = PostgresTileRows(database, disk_budget_bytes=disk_budget_bytes)

    def get_by_id(self, tile_id: TileId) -> TileMetadataPersistent | None:
        """See `TileMetadataStore`."""
        check_kind(tile_id, TileId, "tile_id")
        return self._rows.get(tile_id)

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> list[TileMetadataPersistent]:
        """See `TileMetadataStore`. Raises `ValueError` for a zoom outside 0..22."""
        span = GridRange.covering(bbox, zoom_level)
        rows = self._database.fetch_all(
            f"querying tiles of zoom {zoom_level} in {bbox}",
            SELECT_BBOX,
            (span.zoom_level, span.min_x, span.max_x, span.min_y, span.max_y),
        )
        return [read_tile(row) for row in rows]

    def insert_metadata(self, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileMetadataStore`; `created_at` is the database's time.

        Raises `CacheBudgetExhaustedError` when the disk budget would be passed.
        """
        check_kind(metadata, TileMetadata, "metadata")
        ((now,),) = self._database.fetch_all("reading the database's time", SELECT_NOW)
        with self._rows.insert(metadata, now) as row:
            return row.commit()

    def update_voting_status(self, tile_id: TileId, status: VotingStatus) -> TileMetadataPersistent:
        """See `TileMetadataStore`. Of two concurrent writers the second judges by the first one's vote."""
        check_kind(tile_id, TileId, "tile_id")
        check_kind(status, VotingStatus, "status")
        doing = f"updating the vote on tile {tile_id}"
        vote = (status.value, tile_id.tile_uuid)
        with TileTransaction(self._database) as transaction:
            (found,) = transaction.begin_numbered(doing, (SELECT_TILE_FOR_UPDATE, (tile_id.tile_uuid,)))
            rows = found.rows()
            if not rows:
                raise TileNotFoundError(tile_id)
            check_voting_step(read_tile(rows[0]).voting_status, status)
            _, updated = transaction.execute(
                doing, (UPDATE_VOTING_STATUS, vote), (SELECT_TILE, (tile_id.tile_uuid,))
            )
            tile = read_tile(updated.rows()[0])  # the connection may be lost during the commit
            transaction.commit(doing, DiskUsage(), lambda: (VOTED_TRACE, vote))
        return tile

    def mark_uploaded(self, tile_id: TileId, uploaded_at: datetime, content_sha256: str) -> None:
        """See `TileMetadataStore`; the first upload's time stays."""
        check_kind(tile_id, TileId, "tile_id")
        check_kind(content_sha256, str, "content_sha256")
        check_aware_utc(uploaded_at, "uploaded_at")
        marked = self._database.change(
            f"marking tile {tile_id} as uploaded",
            UPDATE_UPLOADED,
            (uploaded_at, tile_id.tile_uuid, content_sha256),
        )
        if marked:
            return
        tile = self.get_by_id(tile_id)
        if tile is None:
            raise TileNotFoundError(tile_id)
        if tile.content_sha256 != content_sha256:
            raise ContentHashMismatchError(
                "uploaded SHA-256", expected=tile.content_sha256, actual=content_sha256, tile_id=tile_id
            )

    def pending_uploads(self, limit: int) -> list[TileMetadataPersistent]:
        """See `TileMetadataStore`. Raises `ValueError` for a limit below 1."""
        return self._listed("listing pending uploads", SELECT_PENDING_UPLOADS, limit)

    def lru_candidates(self, limit: int) -> list[TileMetadataPersistent]:
        """See `TileMetadataStore`. Raises `ValueError` for a limit below 1."""
        return self._listed("listing tiles to evict", SELECT_LRU_CANDIDATES, limit)

    def _listed(self, doing: str, query: str, limit: int) -> list[TileMetadataPersistent]:
        limit = check_limit(limit)
        return [read_tile(row) for row in self._database.fetch_all(doing, query, (limit,))]

    def record_lru_access(self, accesses: Mapping[TileId, datetime]) -> None:
        """See `TileMetadataStore`. One statement for the whole batch."""
        check_kind(accesses, Mapping, "accesses")
        for tile_id in accesses:
            check_kind(tile_id, TileId, "accesses' tile_id")
        if not accesses:
            return
        for accessed_at in accesses.values():
            check_aware_utc(accessed_at, "accessed_at")
        uuids = [tile_id.tile_uuid for tile_id in accesses]
        with self._database.session(f"noting {len(uuids)} reads") as connection:
            connection.execute(UPDATE_ACCESSED, (uuids, list(accesses.values())))

    def total_disk_bytes(self) -> int:
        """See `TileMetadataStore`."""
        with self._database.session("reading the disk usage") as connection:
            return read_total(connection)

    def increment_upload_attempts(self, tile_id: TileId) -> int:
        """See `TileMetadataStore`. Raises `TileNotFoundError`."""
        check_kind(tile_id, TileId, "tile_id")
        doing = f"counting an upload attempt of tile {tile_id}"
        with TileTransaction(self._database) as transaction:
            (counted,) = transaction.begin_numbered(doing, (UPDATE_UPLOAD_ATTEMPTS, (tile_id.tile_uuid,)))
            rows = counted.rows()
            if not rows:
                raise TileNotFoundError(tile_id)
            attempts = int(rows[0][0])
            transaction.commit(doing, DiskUsage(), lambda: (ATTEMPTED_TRACE, (tile_id.tile_uuid, attempts)))
        return attempts

    def count_rejection(self, tile_id: TileId, attempts_before: int, *, gives_up: bool) -> bool:
        """See `UploadAttempts` of the retrying uploader."""
        doing = f"counting a rejection of tile {tile_id}"
        with TileTransaction(self._database) as transaction:
            (counted,) = transaction.begin_numbered(
                doing, (COUNT_REJECTION, (gives_up, tile_id.tile_uuid, attempts_before))
            )
            if not counted.rows():
                return False
            trace = (ATTEMPTED_TRACE, (tile_id.tile_uuid, attempts_before + 1))
            transaction.commit(doing, DiskUsage(), lambda: trace)
        return True

    def set_pinned(self, tile_id: TileId, pinned: bool) -> None:
        """See `SupportsPins`."""
        check_kind(tile_id, TileId, "tile_id")
        pinned = check_bool(pinned, "pinned")
        if not self._database.change(f"pinning tile {tile_id}", UPDATE_PINNED, (pinned, tile_id.tile_uuid)):
            raise TileNotFoundError(tile_id)

    def pinned_tiles(self) -> list[TileId]:
        """See `SupportsPins`."""
        return [read_tile_id(row) for row in self._database.fetch_all("listing pinned tiles", SELECT_PINNED)]
