"""The rows half of a tile store: `TileRows` over PostgreSQL.

Three locks make it safe beside other processes:
- the store's lock, held in common from INSERT to COMMIT, and alone in `locked`;
- the unique key of a tile: a second INSERT of the same tile waits until the first has ended;
- a tile's lock, held by `removing` from before the DELETE until the file is unlinked. An INSERT that succeeds
  after that DELETE waits for it. It need not hold it: a later `removing` does not see the open row. Held too
  by `settling` while a replacement's file gets its place. A replacement before its COMMIT locks its row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg

from ...domain.errors import CommitOutcomeUnknownError, DuplicateTileError, TileNotFoundError
from ...domain.store.changed_verdicts import StoredLabel
from ...domain.values.catalogue_entries import CatalogueColumns
from ...domain.values.coverage import TileRun
from ...domain.values.disk_usage import DiskUsage
from ...domain.values.tile_key import VariantTable
from ...domain.values.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileSource,
    check_aware_utc,
)
from ...domain.values.timestamps import microseconds_of
from .address import Connection
from .advisory_locks import (
    AWAIT_TILES,
    LOCK_EXCLUSIVE,
    LOCK_SHARED,
    LOCK_TILE,
    STORE_LOCK,
    UNLOCK_TILE,
    tile_lock,
)
from .bulk_copy import read_catalogue
from .connection import Database
from .errors import translate_errors
from .pipeline import Pipeline, Statement
from .queries import (
    ADD_UNSETTLED,
    AMEND_TILE,
    AMENDED_TRACE,
    COMPLETE_TILE,
    COMPLETED_TRACE,
    COPY_TILES,
    COUNT_BY_DATASET,
    COUNT_TILES,
    DELETE_TILE,
    DELETE_TILES,
    DELETED_TRACE,
    EVICT_TILE,
    INSERT_TILE,
    INSERT_TILES,
    INSERTED_TRACE,
    REPLACE_TILE,
    REPLACED_TRACE,
    SELECT_ALL,
    SELECT_INCOMPLETE,
    SELECT_LABELS,
    SELECT_LATEST,
    SELECT_MARKED_MISSING,
    SELECT_RUNS,
    SELECT_TILES,
    SELECT_UNSETTLED,
    SELECT_UNSETTLED_AMONG,
    SELECT_XID,
    SETTLE_GONE_TILE,
    SETTLE_TILE,
    UPDATE_FILES_MISSING,
    UPDATE_FILES_PRESENT,
    read_store_id,
    read_usage,
)
from .row_values import (
    SELECT_TILE,
    SELECT_TILE_FOR_UPDATE,
    insert_values,
    read_tile,
    read_tile_id,
    replaced_values,
)
from .transactions import TileTransaction

FETCH_ROWS = 5_000
"""Rows per round trip of a stream, and tiles per statement of a batch: bounds memory at both ends."""


class PostgresOpenRow:
    """See `OpenRow`."""

    def __init__(self, transaction: TileTransaction, stored: TileMetadataPersistent) -> None:
        """Send the INSERT."""
        self._transaction = transaction
        self._stored = stored
        self._named = f"tile {stored.tile_id}"
        lock = tile_lock(stored.tile_uuid)
        self._sent: Pipeline | None = transaction.send_all(
            f"inserting {self._named}", (INSERT_TILE, (*insert_values(stored), lock, lock))
        )

    @property
    def answers(self) -> int | None:
        """See `OpenRow`."""
        return self._transaction.connection.fileno()

    def finish_insert(self) -> None:
        """See `OpenRow`."""
        sent, self._sent = self._sent, None
        if sent is None:
            return
        try:
            _, inserted, _ = self._transaction.receive(f"inserting {self._named}", sent)
        except psycopg.errors.UniqueViolation as error:
            raise DuplicateTileError(self._stored.tile_id) from error
        self._transaction.xid = inserted.text

    def commit(self) -> TileMetadataPersistent:
        """See `OpenRow`."""
        if self._sent is not None:
            self.finish_insert()
        self._transaction.commit(
            f"storing {self._named}",
            DiskUsage.of([self._stored]),
            lambda: _inserted_trace([self._stored]),
        )
        return self._stored


class PostgresOpenRows:
    """See `OpenRows`."""

    def __init__(
        self, transaction: TileTransaction, metadata: Sequence[TileMetadata], created_at: datetime
    ) -> None:
        self._transaction = transaction
        self._metadata = metadata
        self._created_at = created_at
        self._inserted: dict[TileId, TileMetadataPersistent] = {}
        self._duplicates: frozenset[TileId] | None = None

    def finish_insert(self) -> frozenset[TileId]:
        """See `OpenRows`."""
        if self._duplicates is None:
            # The rows are made here, beside the threads that write the files.
            tiles = [TileMetadataPersistent.of(m, created_at=self._created_at) for m in self._metadata]
            # One order for every writer: two batches that share tiles then wait for each other one way only.
            tiles.sort(key=lambda tile: tile.tile_uuid.int)
            new = _insert_in_order(self._transaction, tiles) if tiles else set()
            self._inserted = {tile.tile_id: tile for tile in tiles if tile.tile_uuid in new}
            self._duplicates = frozenset(tile.tile_id for tile in tiles if tile.tile_uuid not in new)
        return self._duplicates

    def discard(self, tile_ids: Sequence[TileId]) -> None:
        """See `OpenRows`."""
        discarded = [tile_id for tile_id in tile_ids if tile_id in self._inserted]
        if discarded:
            uuids = [tile_id.tile_uuid for tile_id in discarded]
            self._transaction.execute(f"taking back {len(uuids)} tiles", (DELETE_TILES, (uuids,)))
            for tile_id in discarded:
                del self._inserted[tile_id]

    def commit(self) -> dict[TileId, TileMetadataPersistent]:
        """See `OpenRows`."""
        self.finish_insert()
        tiles = self._inserted.values()
        self._transaction.commit(
            f"storing {len(tiles)} tiles",
            DiskUsage.of(tiles),
            lambda: _inserted_trace(tiles),
        )
        return dict(self._inserted)


class PostgresOpenReplacement:
    """See `OpenReplacement`."""

    def __init__(
        self,
        transaction: TileTransaction,
        metadata: TileMetadata,
        created_at: datetime,
        before: TileMetadataPersistent,
    ) -> None:
        self._transaction = transaction
        self._metadata = metadata
        self._created_at = created_at
        self.before = before

    def commit(self) -> TileMetadataPersistent:
        """See `OpenReplacement`."""
        new = TileMetadataPersistent.of(self._metadata, created_at=self._created_at)
        doing = f"replacing tile {new.tile_id}"
        *_, replaced = self._transaction.execute(
            doing,
            (REPLACE_TILE, (*replaced_values(new), new.created_at, new.tile_uuid)),
            (ADD_UNSETTLED, (new.tile_uuid, new.content_sha256)),
            (SELECT_TILE, (new.tile_uuid,)),
        )
        stored = read_tile(replaced.rows()[0])  # the connection may be lost during the commit
        self._transaction.commit(
            doing,
            DiskUsage.of([stored]) - DiskUsage.of([self.before]),
            lambda: (REPLACED_TRACE, (new.tile_uuid, new.content_sha256, new.created_at)),
        )
        return stored


class PostgresLockedRows:
    """See `LockedRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        """See `LockedRows`."""
        return _committed_among(self._connection, tile_ids)


class PostgresTileRows:
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
        self._database = database
        self._ceilings = disk_budget_bytes, onboard_budget_bytes

    def store_id(self) -> UUID:
        """See `TileRows`."""
        with self._database.connection() as connection, translate_errors("reading the store's identity"):
            return read_store_id(connection)

    @contextmanager
    def insert(self, metadata: TileMetadata, created_at: datetime) -> Iterator[PostgresOpenRow]:
        """See `TileRows`."""
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
        """See `TileRows`."""
        check_aware_utc(captured_at, "captured_at")
        doing = f"amending the capture date of tile {tile_id}"
        with TileTransaction(self._database) as transaction:
            found, number = transaction.begin(
                doing, (SELECT_TILE_FOR_UPDATE, (tile_id.tile_uuid,)), (SELECT_XID, ())
            )
            transaction.xid = number.text
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
        """See `TileRows`."""
        check_aware_utc(created_at, "created_at")
        tile_id = metadata.tile_id
        with TileTransaction(self._database, self._ceilings) as transaction:
            _, found, number = transaction.begin(
                f"replacing tile {tile_id}",
                (LOCK_SHARED, STORE_LOCK),
                (SELECT_TILE_FOR_UPDATE, (tile_id.tile_uuid,)),
                (SELECT_XID, ()),
            )
            transaction.xid = number.text
            if not found.rows():
                raise TileNotFoundError(tile_id)
            yield PostgresOpenReplacement(transaction, metadata, created_at, read_tile(found.rows()[0]))

    def unsettled(self, tile_ids: Iterable[TileId] | None = None) -> set[TileId]:
        """See `TileRows`."""
        doing = "reading which replacements are not settled"
        if tile_ids is None:
            return set(map(read_tile_id, self._database.fetch_all(doing, SELECT_UNSETTLED)))
        found: set[TileId] = set()
        for batch in _batches(tile_ids):
            uuids = [tile_id.tile_uuid for tile_id in batch]
            rows = self._database.fetch_all(doing, SELECT_UNSETTLED_AMONG, (uuids,))
            found.update(map(read_tile_id, rows))
        return found

    @contextmanager
    def settling(self, tile_id: TileId) -> Iterator[TileMetadataPersistent | None]:
        """See `TileRows`."""
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

    def get(self, tile_id: TileId) -> TileMetadataPersistent | None:
        """See `TileRows`."""
        rows = self._database.fetch_all(f"reading tile {tile_id}", SELECT_TILE, (tile_id.tile_uuid,))
        return read_tile(rows[0]) if rows else None

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        """See `TileRows`."""
        with self._database.connection() as connection:
            return _committed_among(connection, tile_ids)

    def committed(self) -> Iterator[TileMetadataPersistent]:
        """See `TileRows`; streamed, a bounded number of rows in memory at a time."""
        return map(read_tile, self._stream("reading all tiles", SELECT_ALL))

    def catalogue(self) -> tuple[CatalogueColumns, VariantTable]:
        """See `TileRows`. Raises `TileMetadataError` for an impossible row."""
        return read_catalogue(self._database)

    def counts(self) -> dict[tuple[TileSource, int], int]:
        """See `TileRows`."""
        counted = self._database.fetch_all("counting the tiles", COUNT_TILES)
        return {(TileSource(source), zoom_level): count for source, zoom_level, count in counted}

    def counts_by_dataset(self) -> dict[str | None, int]:
        """See `TileRows`."""
        return dict(self._database.fetch_all("counting the tiles of each dataset", COUNT_BY_DATASET))

    def disk_usage(self) -> DiskUsage:
        """See `TileRows`."""
        with self._database.session("reading the disk usage") as connection:
            return read_usage(connection)

    def tile_runs(self) -> list[TileRun]:
        """See `TileRows`."""
        return [TileRun(*run) for run in self._database.fetch_all("reading where tiles lie", SELECT_RUNS)]

    def labels(self, always_fresh: timedelta) -> Iterator[StoredLabel]:
        """The labels that the freshness gate gave, streamed; rows of revision 0001 have none from it.

        Tiles that were fresh and no older than `always_fresh` when they were stored are left out.
        """
        for row in self._stream("reading the labels of all tiles", SELECT_LABELS, always_fresh):
            captured_at, stored_at, label = row[5:]
            yield StoredLabel(read_tile_id(row), captured_at, stored_at, FreshnessLabel(label))

    def latest_capture_and_access_us(self) -> tuple[int, int]:
        """The latest capture time and the latest access time of all tiles, microseconds since 1970 UTC.

        0 for both when there is no tile. Raises `StoreUnavailableError`.
        """
        ((capture, access),) = self._database.fetch_all("reading the latest times of tiles", SELECT_LATEST)
        return (0, 0) if capture is None else (microseconds_of(capture), microseconds_of(access))

    def rows_without_hash(self) -> Iterator[TileId]:
        """See `TileRows`."""
        return map(read_tile_id, self._stream("reading the rows without a hash", SELECT_INCOMPLETE))

    def _stream(self, doing: str, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        # A cursor on the server: one snapshot, and the statement timeout counts for each fetch alone.
        with (
            self._database.connection() as connection,
            translate_errors(doing),
            connection.transaction(),
        ):
            cursor = connection.cursor(name="stream", binary=True)
            cursor.itersize = FETCH_ROWS
            try:
                yield from cursor.execute(query, values)
            finally:
                try:
                    cursor.close()
                except psycopg.Error:
                    # Lost while it was being closed: it stays open until the connection is closed.
                    connection.close()
                    cursor.close()

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
        """See `TileRows`."""
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
        """See `TileRows`."""
        check_aware_utc(at, "at")
        for batch in _batches(tile_ids):
            with self._database.connection() as connection, translate_errors("noting missing files"):
                connection.execute(UPDATE_FILES_MISSING, (at, [t.tile_uuid for t in batch]))

    def marked_missing(self) -> Iterator[TileId]:
        """See `TileRows`."""
        # Nearly always none. In one go, because the server does not search in parallel for a cursor.
        marked = self._database.fetch_all("reading which files were missing", SELECT_MARKED_MISSING)
        return map(read_tile_id, marked)

    def mark_files_present(self, tile_ids: Iterable[TileId]) -> None:
        """See `TileRows`."""
        for batch in _batches(tile_ids):
            with self._database.connection() as connection, translate_errors("noting files that are back"):
                connection.execute(UPDATE_FILES_PRESENT, ([t.tile_uuid for t in batch],))


def _committed_among(
    connection: Connection, tile_ids: Iterable[TileId]
) -> dict[TileId, TileMetadataPersistent]:
    committed: dict[TileId, TileMetadataPersistent] = {}
    for batch in _batches(tile_ids):
        with translate_errors(f"looking for the rows of {len(batch)} tiles"):
            rows = connection.execute(SELECT_TILES, ([t.tile_uuid for t in batch],)).fetchall()
        committed.update((tile.tile_id, tile) for tile in map(read_tile, rows))
    return committed


def _insert_in_order(transaction: TileTransaction, tiles: Sequence[TileMetadataPersistent]) -> set[UUID]:
    """Insert those of the tiles that have no row yet, and return their UUIDs."""
    doing = f"inserting {len(tiles)} tiles"
    new = {tile.tile_uuid for tile in tiles}
    if not transaction.copy(doing, COPY_TILES, tiles):
        # Some are there already, or no row at all: the slower way tells which, or what is wrong.
        columns = [list(column) for column in zip(*map(insert_values, tiles), strict=True)]
        (inserted,) = transaction.execute(doing, (INSERT_TILES, columns))
        new = {tile_uuid for (tile_uuid,) in inserted.rows()}
    locks = [tile_lock(tile.tile_uuid) for tile in tiles if tile.tile_uuid in new]
    _, number = transaction.execute(doing, (AWAIT_TILES, (locks,)), (SELECT_XID, ()))
    transaction.xid = number.text
    return new


def _inserted_trace(tiles: Collection[TileMetadataPersistent]) -> Statement:
    """The question whether tiles that were inserted by one transaction are to be seen."""
    created_at = next((tile.created_at for tile in tiles), None)
    return INSERTED_TRACE, ([t.tile_uuid for t in tiles], [t.content_sha256 for t in tiles], created_at)


def _batches(tile_ids: Iterable[TileId]) -> Iterator[list[TileId]]:
    remaining = iter(tile_ids)
    while batch := list(islice(remaining, FETCH_ROWS)):
        yield batch
