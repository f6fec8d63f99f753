"""What the rows of a tile store say: every reading of `TileRows`, over PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg

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
)
from ...domain.values.timestamps import microseconds_of
from .address import Connection
from .bulk_copy import read_catalogue
from .connection import Database
from .errors import translate_errors
from .queries import (
    COUNT_BY_DATASET,
    COUNT_TILES,
    SELECT_ALL,
    SELECT_INCOMPLETE,
    SELECT_LABELS,
    SELECT_LATEST,
    SELECT_MARKED_MISSING,
    SELECT_METADATA,
    SELECT_RUNS,
    SELECT_TILES,
    SELECT_UNSETTLED,
    SELECT_UNSETTLED_AMONG,
    read_store_id,
    read_usage,
)
from .row_values import (
    SELECT_TILE,
    read_metadata,
    read_tile,
    read_tile_id,
)

FETCH_ROWS = 5_000
"""Rows per round trip of a stream, and tiles per statement of a batch: bounds memory at both ends."""


class PostgresLockedRows:
    """See `LockedRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        return committed_among(self._connection, tile_ids)


class PostgresStoredRows:
    """The readings of `TileRows`, for any number of threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def store_id(self) -> UUID:
        with self._database.session("reading the store's identity") as connection:
            return read_store_id(connection)

    def get(self, tile_id: TileId) -> TileMetadataPersistent | None:
        rows = self._database.fetch_all(f"reading tile {tile_id}", SELECT_TILE, (tile_id.tile_uuid,))
        return read_tile(rows[0]) if rows else None

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        with self._database.connection() as connection:
            return committed_among(connection, tile_ids)

    def committed(self) -> Iterator[TileMetadataPersistent]:
        """See `TileRows`; streamed, a bounded number of rows in memory at a time."""
        return map(read_tile, self._stream("reading all tiles", SELECT_ALL))

    def committed_metadata(self) -> Iterator[TileMetadata]:
        """See `TileRows`; streamed as `committed` is, at half its cost: no UUID is derived."""
        return map(read_metadata, self._stream("reading all tiles", SELECT_METADATA))

    def catalogue(self) -> tuple[CatalogueColumns, VariantTable]:
        """See `TileRows`. Raises `TileMetadataError` for an impossible row."""
        return read_catalogue(self._database)

    def counts(self) -> dict[tuple[TileSource, int], int]:
        counted = self._database.fetch_all("counting the tiles", COUNT_TILES)
        return {(TileSource(source), zoom_level): count for source, zoom_level, count in counted}

    def counts_by_dataset(self) -> dict[str | None, int]:
        return dict(self._database.fetch_all("counting the tiles of each dataset", COUNT_BY_DATASET))

    def disk_usage(self) -> DiskUsage:
        with self._database.session("reading the disk usage") as connection:
            return read_usage(connection)

    def tile_runs(self) -> list[TileRun]:
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
        # Nearly always none. In one go, because a cursor takes five answers of the server for that.
        incomplete = self._database.fetch_all("reading the rows without a hash", SELECT_INCOMPLETE)
        return map(read_tile_id, incomplete)

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

    def unsettled(self, tile_ids: Iterable[TileId] | None = None) -> set[TileId]:
        doing = "reading which replacements are not settled"
        if tile_ids is None:
            return set(map(read_tile_id, self._database.fetch_all(doing, SELECT_UNSETTLED)))
        found: set[TileId] = set()
        for batch in batches(tile_ids):
            uuids = [tile_id.tile_uuid for tile_id in batch]
            rows = self._database.fetch_all(doing, SELECT_UNSETTLED_AMONG, (uuids,))
            found.update(map(read_tile_id, rows))
        return found

    def marked_missing(self) -> Iterator[TileId]:
        # Nearly always none. In one go, because the server does not search in parallel for a cursor.
        marked = self._database.fetch_all("reading which files were missing", SELECT_MARKED_MISSING)
        return map(read_tile_id, marked)


def committed_among(
    connection: Connection, tile_ids: Iterable[TileId]
) -> dict[TileId, TileMetadataPersistent]:
    committed: dict[TileId, TileMetadataPersistent] = {}
    for batch in batches(tile_ids):
        with translate_errors(f"looking for the rows of {len(batch)} tiles"):
            rows = connection.execute(SELECT_TILES, ([t.tile_uuid for t in batch],)).fetchall()
        committed.update((tile.tile_id, tile) for tile in map(read_tile, rows))
    return committed


def batches(tile_ids: Iterable[TileId]) -> Iterator[list[TileId]]:
    remaining = iter(tile_ids)
    while batch := list(islice(remaining, FETCH_ROWS)):
        yield batch
