"""The rows half of a tile store: `TileRows` over PostgreSQL.

Three locks make it safe beside other processes:
- the store's lock, held in common from INSERT to COMMIT, and alone in `locked`;
- the unique key of a tile: a second INSERT of the same tile waits until the first has ended;
- a tile's lock, held by `removing` from before the DELETE until the file is unlinked. An INSERT that succeeds
  after that DELETE waits for it. It need not hold it: a later `removing` does not see the open row. Held too
  by `settling` while a replacement's file gets its place. A replacement before its COMMIT locks its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg

from ...domain.errors import CommitOutcomeUnknownError, TileNotFoundError
from ...domain.values.disk_usage import DiskUsage
from ...domain.values.tiles import FreshnessLabel, TileId, TileMetadata, TileMetadataPersistent
from ...domain.values.validators import check_aware_utc
from .address import Connection
from .advisory_locks import (
    LOCK_EXCLUSIVE,
    LOCK_SHARED,
    LOCK_TILE,
    STORE_LOCK,
    UNLOCK_TILE,
    tile_lock,
)
from .connection import Database
from .errors import translate_errors
from .open_rows import PostgresOpenReplacement, PostgresOpenRow, PostgresOpenRows
from .queries import (
    AMEND_TILE,
    AMENDED_TRACE,
    COMPLETE_TILE,
    COMPLETED_TRACE,
    DELETE_TILE,
    DELETED_TRACE,
    EVICT_TILE,
    SETTLE_GONE_TILE,
    SETTLE_TILE,
    UPDATE_FILES_MISSING,
    UPDATE_FILES_PRESENT,
)
from .row_values import (
    SELECT_TILE,
    SELECT_TILE_FOR_UPDATE,
    read_tile,
)
from .stored_rows import PostgresLockedRows, PostgresStoredRows, batches
from .transactions import TileTransaction


class PostgresTileRows(PostgresStoredRows):
    """`TileRows` over PostgreSQL, for any number of threads and processes.

    No commit takes the footprint of all tiles past `disk_budget_bytes`, nor that of the onboard tiles past
    `onboard_budget_bytes` (None: no ceiling), in any process.
    A committed row is on the database's disk, unless its administrator has turned fsync off.
    """

    def __init__(
        self,
        database: Database,
        *,
        disk_budget_bytes: int | None = None,
        onboard_budget_bytes: int | None = None,
    ) -> None:
        super().__init__(database)
        self._ceilings = disk_budget_bytes, onboard_budget_bytes

    @contextmanager
    def insert(self, metadata: TileMetadata, created_at: datetime) -> Iterator[PostgresOpenRow]:
        stored = TileMetadataPersistent.of(metadata, created_at=created_at)
        with TileTransaction(self._database, self._ceilings) as transaction:
            yield PostgresOpenRow(transaction, stored)

    @contextmanager
    def insert_many(
        self, metadata: Sequence[TileMetadata], created_at: datetime
    ) -> Iterator[PostgresOpenRows]:
        """See `TileRows`. Raises `ValueError` when a tile is named twice."""
        if len({m.tile_id for m in metadata}) != len(metadata):
            raise ValueError("a batch must not name a tile twice")
        with TileTransaction(self._database, self._ceilings) as transaction:
            transaction.begin(f"inserting {len(metadata)} tiles", (LOCK_SHARED, STORE_LOCK))
            yield PostgresOpenRows(transaction, metadata, created_at)

    def amend(
        self, tile_id: TileId, captured_at: datetime, freshness_label: FreshnessLabel
    ) -> TileMetadataPersistent:
        check_aware_utc(captured_at, "captured_at")
        doing = f"amending the capture date of tile {tile_id}"
        with TileTransaction(self._database) as transaction:
            (found,) = transaction.begin_numbered(doing, (SELECT_TILE_FOR_UPDATE, (tile_id.tile_uuid,)))
            if not found.rows():
                raise TileNotFoundError(tile_id)
            _, amended = transaction.execute(
                doing,
                (AMEND_TILE, (captured_at, freshness_label.value, tile_id.tile_uuid)),
                (SELECT_TILE, (tile_id.tile_uuid,)),
            )
            tile = read_tile(amended.rows()[0])  # the connection may be lost during the commit
            transaction.commit(doing, DiskUsage(), lambda: (AMENDED_TRACE, (captured_at, tile_id.tile_uuid)))
        return tile

    @contextmanager
    def replacing(self, metadata: TileMetadata, created_at: datetime) -> Iterator[PostgresOpenReplacement]:
        check_aware_utc(created_at, "created_at")
        tile_id = metadata.tile_id
        with TileTransaction(self._database, self._ceilings) as transaction:
            _, found = transaction.begin_numbered(
                f"replacing tile {tile_id}",
                (LOCK_SHARED, STORE_LOCK),
                (SELECT_TILE_FOR_UPDATE, (tile_id.tile_uuid,)),
            )
            if not found.rows():
                raise TileNotFoundError(tile_id)
            yield PostgresOpenReplacement(transaction, metadata, created_at, read_tile(found.rows()[0]))

    @contextmanager
    def settling(self, tile_id: TileId) -> Iterator[TileMetadataPersistent | None]:
        doing = f"settling tile {tile_id}"
        tile_uuid = tile_id.tile_uuid
        with self._tile_locked(tile_id, doing) as connection:
            with translate_errors(doing):
                rows = connection.execute(SELECT_TILE, (tile_uuid,)).fetchall()
            row = read_tile(rows[0]) if rows else None
            yield row
            with translate_errors(doing):
                if row is None:
                    connection.execute(SETTLE_GONE_TILE, (tile_uuid,))
                else:
                    connection.execute(SETTLE_TILE, (tile_uuid, row.content_sha256))

    @contextmanager
    def removing(self, tile_id: TileId, *, evicting: bool = False) -> Iterator[int | None]:
        """See `TileRows`.

        Raises `CommitOutcomeUnknownError` also when the connection is lost and the row is gone: without the
        tile's lock the file can't be unlinked safely, and is left to the next open.
        """
        doing = f"removing the row of tile {tile_id}"
        with self._tile_locked(tile_id, doing) as connection:
            yield self._remove(connection, tile_id, EVICT_TILE if evicting else DELETE_TILE, doing)

    @contextmanager
    def _tile_locked(self, tile_id: TileId, doing: str) -> Iterator[Connection]:
        """A connection that holds the tile's lock."""
        lock = tile_lock(tile_id.tile_uuid)
        with self._database.connection() as connection:
            try:
                with translate_errors(doing):
                    connection.execute(LOCK_TILE, (lock,))
                yield connection
            finally:
                try:
                    connection.execute(UNLOCK_TILE, (lock,))
                except psycopg.Error:
                    # The lock must not go back into the pool with the connection.
                    connection.close()

    def _remove(self, connection: Connection, tile_id: TileId, query: str, doing: str) -> int | None:
        with TileTransaction(self._database, connection=connection) as transaction:
            (deleted,) = transaction.begin(doing, (query, (tile_id.tile_uuid,)))
            if not deleted.rows():
                return None
            ((freed_bytes, transaction.xid),) = deleted.rows()
            transaction.commit(
                doing,
                -DiskUsage.of_tile(tile_id, freed_bytes),
                lambda: (DELETED_TRACE, (tile_id.tile_uuid,)),
            )
        if connection.closed:
            raise CommitOutcomeUnknownError(
                f"{doing}: it is gone, but the connection was lost before its file could be",
                remedy="run aerotile verify --reconcile: it removes files without a row",
            )
        return int(freed_bytes)

    def fill_hash(self, tile_id: TileId, content_sha256: str, disk_bytes: int) -> None:
        """See `TileRows`. What the row knew already stays; the budget does not stop what is on the disk.

        Raises `TileNotFoundError` when there is no such row that lacks its hash or size.
        """
        doing = f"completing the row of tile {tile_id}"
        with TileTransaction(self._database) as transaction:
            (completed,) = transaction.begin(
                doing, (COMPLETE_TILE, (tile_id.tile_uuid, content_sha256, disk_bytes))
            )
            if not completed.rows():
                raise TileNotFoundError(tile_id)
            ((added_bytes, transaction.xid),) = completed.rows()
            transaction.commit(
                doing,
                DiskUsage.of_tile(tile_id, added_bytes),
                lambda: (COMPLETED_TRACE, (tile_id.tile_uuid,)),
            )

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[PostgresLockedRows]:
        doing = f"waiting {timeout_s:g} s for every writer to finish"
        timeout = f"{max(1, round(timeout_s * 1000))}ms"
        with TileTransaction(self._database) as transaction:
            transaction.begin(
                doing,
                ("SELECT set_config('lock_timeout', %s, true)", (timeout,)),
                (LOCK_EXCLUSIVE, STORE_LOCK),
            )
            yield PostgresLockedRows(transaction.connection)

    def mark_files_missing(self, tile_ids: Iterable[TileId], at: datetime) -> None:
        check_aware_utc(at, "at")
        for batch in batches(tile_ids):
            with self._database.connection() as connection, translate_errors("noting missing files"):
                connection.execute(UPDATE_FILES_MISSING, (at, [t.tile_uuid for t in batch]))

    def mark_files_present(self, tile_ids: Iterable[TileId]) -> None:
        for batch in batches(tile_ids):
            with self._database.connection() as connection, translate_errors("noting files that are back"):
                connection.execute(UPDATE_FILES_PRESENT, ([t.tile_uuid for t in batch],))
