"""The rows of a tile store in memory, with transactions and locks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from uuid import UUID, uuid4

import attrs

from ...domain.errors import (
    DuplicateTileError,
    HeadroomTakenError,
    StoreUnavailableError,
    TileMetadataError,
    TileNotFoundError,
)
from ...domain.ports.tile_rows import AwaitedInsert
from ...domain.values.catalogue_entries import CatalogueColumns
from ...domain.values.coverage import TileRun, runs_of
from ...domain.values.disk_usage import DiskUsage
from ...domain.values.tile_changes import ChangeKind
from ...domain.values.tile_key import VariantTable
from ...domain.values.tile_rules import may_be_evicted
from ...domain.values.tiles import FreshnessLabel, TileId, TileMetadata, TileMetadataPersistent, TileSource
from ...domain.values.validators import check_aware_utc
from .tile_metadata import MemoryTileMetadataStore

STATEMENT_TIMEOUT_S = 30.0
"""How long a write waits for another write of the same tile; a database's statement timeout does the same."""


class MemoryOpenRows:
    """See `OpenRows`; `MemoryOpenRow` is the same for one row."""

    def __init__(self, table: MemoryTileRows, tiles: Mapping[TileId, TileMetadataPersistent]) -> None:
        self._table = table
        self._tiles = tiles
        self._inserted: dict[TileId, TileMetadataPersistent] = {}
        self._finished = False
        self._open = True
        self.taken: set[TileId] = set()

    def end(self) -> None:
        """Close the transaction; rows that were not committed are rolled back."""
        self._open = False

    def finish_insert(self) -> frozenset[TileId]:
        if not self._finished:
            self._finished = True
            for tile_id in sorted(self._tiles, key=lambda tile_id: tile_id.tile_uuid):
                if self._table.take(tile_id):
                    self.taken.add(tile_id)
            self._inserted = {t: tile for t, tile in self._tiles.items() if t in self.taken}
        return frozenset(self._tiles.keys() - self.taken)

    @property
    def inserted(self) -> Mapping[TileId, TileMetadataPersistent]:
        return self._inserted

    def discard(self, tile_ids: Sequence[TileId]) -> None:
        for tile_id in tile_ids:
            self._inserted.pop(tile_id, None)

    def commit(self) -> dict[TileId, TileMetadataPersistent]:
        if not self._open:
            raise ValueError("the transaction has ended")
        self.finish_insert()
        self._table.add(self._inserted)
        self.end()
        return dict(self._inserted)


@attrs.frozen
class MemoryOpenRow:
    """See `OpenRow`."""

    rows: MemoryOpenRows
    tile_id: TileId
    answers: AwaitedInsert | None = None
    is_committing: bool = False

    def finish_insert(self) -> None:
        if self.rows.finish_insert():
            raise DuplicateTileError(self.tile_id)

    def commit(self) -> TileMetadataPersistent:
        self.finish_insert()
        return self.rows.commit()[self.tile_id]


@attrs.frozen
class MemoryOpenReplacement:
    """See `OpenReplacement`."""

    table: MemoryTileRows
    metadata: TileMetadata
    created_at: datetime
    before: TileMetadataPersistent

    def commit(self) -> TileMetadataPersistent:
        return self.table.replace(self.metadata, self.created_at)


class MemoryTileRows(MemoryTileMetadataStore):
    """`TileRows` in memory, with the `TileMetadataStore` of the same table; nothing is durable.

    Transactions exclude each other as they do in a database.
    """

    def __init__(
        self,
        *,
        disk_budget_bytes: int | None = None,
        onboard_budget_bytes: int | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        """See `MemoryTileMetadataStore`."""
        super().__init__(
            disk_budget_bytes=disk_budget_bytes, onboard_budget_bytes=onboard_budget_bytes, now=now
        )
        self._store_id = uuid4()
        self._without_hash: dict[TileId, TileMetadataPersistent] = {}
        self._files_missing: dict[TileId, datetime] = {}
        self._taken: set[TileId] = set()
        """Tiles in an open transaction, and tiles under removal."""
        self._unsettled: dict[TileId, str] = {}
        """The digest of each replacement."""
        self._writers = self._locks_wanted = 0
        self._locked = False

    get = MemoryTileMetadataStore.get_by_id

    def store_id(self) -> UUID:
        """See `TileRows`."""
        with self._answering():
            return self._store_id

    def insert_metadata(self, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileMetadataStore`."""
        with self.insert(metadata, self._now()) as row:
            return row.commit()

    @contextmanager
    def insert(self, metadata: TileMetadata, created_at: datetime) -> Iterator[MemoryOpenRow]:
        """See `TileRows`."""
        with self.insert_many([metadata], created_at) as rows:
            yield MemoryOpenRow(rows, metadata.tile_id)

    @contextmanager
    def insert_many(self, metadata: Sequence[TileMetadata], created_at: datetime) -> Iterator[MemoryOpenRows]:
        """See `TileRows`. Raises `ValueError` when a tile is named twice."""
        stored = {m.tile_id: TileMetadataPersistent.of(m, created_at=created_at) for m in metadata}
        if len(stored) != len(metadata):
            raise ValueError("a batch must not name a tile twice")
        rows = MemoryOpenRows(self, stored)
        with self._writing():
            try:
                yield rows
            finally:
                rows.end()
                with self._changed:
                    self._taken -= rows.taken

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep out `locked`."""
        with self._answering():
            self._wait_until(lambda: not self._locks_wanted, "the store's lock")
            self._writers += 1
        try:
            yield
        finally:
            with self._changed:
                self._writers -= 1
                self._changed.notify_all()

    def take(self, tile_id: TileId) -> bool:
        """Keep other writers from a tile for `MemoryOpenRows`; False when the tile has a row."""
        with self._answering():
            self._wait_until(lambda: tile_id not in self._taken, f"another writer of tile {tile_id}")
            if tile_id in self._committed or tile_id in self._without_hash:
                return False
            self._taken.add(tile_id)
            return True

    def amend(
        self, tile_id: TileId, captured_at: datetime, freshness_label: FreshnessLabel
    ) -> TileMetadataPersistent:
        """See `TileRows`."""
        check_aware_utc(captured_at, "captured_at")
        with self._answering():
            self._known(tile_id)
            return self._change(tile_id, captured_at=captured_at, freshness_label=freshness_label)

    @contextmanager
    def replacing(self, metadata: TileMetadata, created_at: datetime) -> Iterator[MemoryOpenReplacement]:
        """See `TileRows`."""
        with self._writing(), self._alone_with(metadata.tile_id):
            with self._answering():
                before = self._known(metadata.tile_id)
            yield MemoryOpenReplacement(self, metadata, created_at, before)

    def replace(self, metadata: TileMetadata, created_at: datetime) -> TileMetadataPersistent:
        """Commit a row in the place of the one that is there, for `MemoryOpenReplacement`."""
        with self._answering():
            known = self._known(metadata.tile_id)
            accessed_at = max(known.accessed_at, created_at)
            stored = TileMetadataPersistent.of(metadata, created_at=created_at, accessed_at=accessed_at)
            stored = attrs.evolve(stored, pinned=known.pinned)
            added = DiskUsage.of([stored]) - DiskUsage.of([known])
            ceiling, taken = self.disk_budget_bytes, self._usage.footprint_bytes
            if ceiling is not None and added.footprint_bytes > 0 and taken + added.footprint_bytes > ceiling:
                raise HeadroomTakenError(added.footprint_bytes, ceiling, taken)
            self._committed[metadata.tile_id] = stored
            self._usage += added
            self._files_missing.pop(metadata.tile_id, None)
            self._unsettled[metadata.tile_id] = metadata.content_sha256
            self._publish(ChangeKind.CHANGED, [metadata.tile_id])
        return stored

    def unsettled(self, tile_ids: Iterable[TileId] | None = None) -> set[TileId]:
        """See `TileRows`."""
        with self._answering():
            unsettled = {
                tile_id
                for tile_id, content_sha256 in self._unsettled.items()
                if (row := self._committed.get(tile_id)) and row.content_sha256 == content_sha256
            }
            return unsettled if tile_ids is None else unsettled.intersection(tile_ids)

    @contextmanager
    def settling(self, tile_id: TileId) -> Iterator[TileMetadataPersistent | None]:
        """See `TileRows`."""
        with self._alone_with(tile_id):
            yield self._committed.get(tile_id)
            with self._answering():
                if self._unsettled.pop(tile_id, None) is not None:
                    self._publish(ChangeKind.CHANGED, [tile_id])

    @contextmanager
    def removing(self, tile_id: TileId, *, evicting: bool = False) -> Iterator[int | None]:
        """See `TileRows`."""
        with self._alone_with(tile_id):
            with self._answering():
                freed_bytes = self._remove(tile_id, evicting)
            yield freed_bytes

    @contextmanager
    def _alone_with(self, tile_id: TileId) -> Iterator[None]:
        """Keep other writers from a tile."""
        with self._answering():
            self._wait_until(lambda: tile_id not in self._taken, f"another writer of tile {tile_id}")
            self._taken.add(tile_id)
        try:
            yield
        finally:
            with self._changed:
                self._taken.discard(tile_id)
                self._changed.notify_all()

    def _remove(self, tile_id: TileId, evicting: bool) -> int | None:
        tile = self._committed.get(tile_id)
        if evicting and (tile is None or not may_be_evicted(tile)):
            return None
        legacy = self._without_hash.pop(tile_id, None)
        if tile is None and legacy is None:
            return None
        freed_bytes = 0 if tile is None else tile.disk_bytes
        self._committed.pop(tile_id, None)
        self._files_missing.pop(tile_id, None)
        self._usage -= DiskUsage.of_tile(tile_id, freed_bytes)
        self._publish(ChangeKind.REMOVED, [tile_id])
        return freed_bytes

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        """See `TileRows`."""
        with self._answering():
            return {t: self._committed[t] for t in tile_ids if t in self._committed}

    def committed_metadata(self) -> Iterator[TileMetadata]:
        """See `TileRows`."""
        fields = [field.name for field in attrs.fields(TileMetadata) if field.name != "location_hash"]
        return (TileMetadata(**{name: getattr(row, name) for name in fields}) for row in self.committed())

    def catalogue(self) -> tuple[CatalogueColumns, VariantTable]:
        """See `TileRows`."""
        rows = list(self.committed())
        try:
            variants = VariantTable.naming(row.tile_id for row in rows)
        except ValueError as error:
            raise TileMetadataError(f"the rows in memory are of too many flights: {error}") from error
        return CatalogueColumns.of(rows, variants), variants

    def counts(self) -> dict[tuple[TileSource, int], int]:
        """See `TileRows`."""
        return dict(Counter((row.tile_id.source, row.tile_id.zoom_level) for row in self.committed()))

    def counts_by_dataset(self) -> dict[str | None, int]:
        """See `TileRows`."""
        return dict(Counter(row.dataset for row in self.committed()))

    def disk_usage(self) -> DiskUsage:
        """See `TileRows`."""
        with self._answering():
            return self._usage

    def tile_runs(self) -> list[TileRun]:
        """See `TileRows`."""
        ids = (row.tile_id for row in self.committed())
        return runs_of((tile_id.zoom_level, tile_id.x, tile_id.y) for tile_id in ids)

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[MemoryTileRows]:
        """See `TileRows`."""
        with self._answering():
            self._locks_wanted += 1
        try:
            with self._changed:
                self._wait_until(
                    lambda: not self._writers and not self._locked, "every writer to finish", timeout_s
                )
                self._locked = True
            try:
                yield self
            finally:
                self._locked = False
        finally:
            with self._changed:
                self._locks_wanted -= 1
                self._changed.notify_all()

    def rows_without_hash(self) -> Iterator[TileId]:
        """See `TileRows`."""
        with self._answering():
            return iter(list(self._without_hash))

    def fill_hash(self, tile_id: TileId, content_sha256: str, disk_bytes: int) -> None:
        """See `TileRows`. Raises `TileNotFoundError` when there is no such row without a hash."""
        with self._answering():
            if tile_id not in self._without_hash:
                raise TileNotFoundError(tile_id)
            known = attrs.evolve(
                self._without_hash[tile_id], content_sha256=content_sha256, disk_bytes=disk_bytes
            )
            del self._without_hash[tile_id]
            self._committed[tile_id] = known
            self._usage += DiskUsage.of([known])
            self._publish(ChangeKind.CHANGED, [tile_id])

    def add_row_without_hash(self, tile: TileMetadataPersistent) -> None:
        """Add a row as databases before revision 0002 hold it: hash and size are unknown."""
        with self._answering():
            self._without_hash[tile.tile_id] = tile

    def mark_files_missing(self, tile_ids: Iterable[TileId], at: datetime) -> None:
        """See `TileRows`."""
        check_aware_utc(at, "at")
        with self._answering():
            for tile_id in tile_ids:
                if tile_id in self._committed or tile_id in self._without_hash:
                    self._files_missing.setdefault(tile_id, at)

    def marked_missing(self) -> Iterator[TileId]:
        """See `TileRows`."""
        with self._answering():
            return iter(list(self._files_missing))

    def mark_files_present(self, tile_ids: Iterable[TileId]) -> None:
        """See `TileRows`."""
        with self._answering():
            for tile_id in tile_ids:
                self._files_missing.pop(tile_id, None)

    @property
    def files_missing(self) -> dict[TileId, datetime]:
        """The tiles marked as missing, each with the time of its first mark."""
        with self._changed:
            return dict(self._files_missing)

    def _wait_until(
        self, free: Callable[[], bool], waited_for: str, timeout_s: float = STATEMENT_TIMEOUT_S
    ) -> None:
        if not self._changed.wait_for(free, timeout_s):
            raise StoreUnavailableError(f"waited {timeout_s:g} s for {waited_for}")
