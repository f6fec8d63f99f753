"""Rows of a transaction under way: inserted or replaced, and not yet committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import psycopg

from ...domain.errors import DuplicateTileError, StoreUnavailableError
from ...domain.values.disk_usage import DiskUsage
from ...domain.values.tiles import (
    TileId,
    TileMetadata,
    TileMetadataPersistent,
)
from ...ext import AwaitedInsert, new_rows
from .advisory_locks import (
    AWAIT_TILES,
    tile_lock,
)
from .pipeline import Pipeline, Statement
from .queries import (
    ADD_UNSETTLED,
    COPY_TILES,
    DELETE_TILES,
    INSERT_TILE,
    INSERT_TILES,
    INSERTED_TRACE,
    REPLACE_TILE,
    REPLACED_TRACE,
    SELECT_XID,
)
from .row_values import (
    SELECT_TILE,
    insert_values,
    read_tile,
    replaced_values,
)
from .transactions import TileTransaction


class PostgresOpenRow:
    """See `OpenRow`."""

    def __init__(self, transaction: TileTransaction, stored: TileMetadataPersistent) -> None:
        """Send the INSERT."""
        self._transaction = transaction
        self._stored = stored
        self._added = DiskUsage.of([stored])
        self._named = f"tile {stored.tile_id}"
        lock = tile_lock(stored.tile_uuid)
        doing = f"inserting {self._named}"
        sent = transaction.send_all(doing, (INSERT_TILE, (*insert_values(stored), lock, lock)))
        self._sent: Pipeline | None = sent
        self._answers = transaction.commit_behind(doing, sent, self._added)

    @property
    def answers(self) -> AwaitedInsert | None:
        """See `OpenRow`."""
        return self._answers

    @property
    def is_committing(self) -> bool:
        """See `OpenRow`."""
        return self._answers.is_committing

    def finish_insert(self) -> None:
        """See `OpenRow`."""
        if self.is_committing:
            return
        sent, self._sent = self._sent, None
        if sent is None:
            return
        try:
            _, inserted, _ = self._transaction.receive(f"inserting {self._named}", sent)
        except psycopg.errors.UniqueViolation as error:
            raise DuplicateTileError(self._stored.tile_id) from error
        if not inserted.result.ntuples:
            raise StoreUnavailableError(
                f"inserting {self._named} failed: the database left its row out",
                remedy="remove the trigger or rule on the table tiles that does so",
            )
        self._transaction.xid = inserted.text

    def commit(self) -> TileMetadataPersistent:
        """See `OpenRow`."""
        self.finish_insert()
        sent, self._sent = self._sent, None
        self._transaction.commit(
            f"storing {self._named}", self._added, lambda: _inserted_trace([self._stored]), sent=sent
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
            tiles = new_rows(self._metadata, self._created_at)
            # One order for every writer: two batches that share tiles then wait for each other one way only.
            tiles.sort(key=lambda tile: tile.tile_uuid.int)
            new = _insert_in_order(self._transaction, tiles) if tiles else set()
            self._inserted = {tile.tile_id: tile for tile in tiles if tile.tile_uuid in new}
            self._duplicates = frozenset(tile.tile_id for tile in tiles if tile.tile_uuid not in new)
        return self._duplicates

    @property
    def inserted(self) -> Mapping[TileId, TileMetadataPersistent]:
        """See `OpenRows`."""
        return self._inserted

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
