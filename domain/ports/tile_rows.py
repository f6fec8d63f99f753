"""The rows of a store, as writes, deletes and the opening of the store use them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from ..values.catalogue_entries import CatalogueColumns
from ..values.coverage import TileRun
from ..values.disk_usage import DiskUsage
from ..values.tile_key import VariantTable
from ..values.tiles import FreshnessLabel, TileId, TileMetadata, TileMetadataPersistent, TileSource


class AwaitedInsert(Protocol):
    """An INSERT that is not answered yet, and the COMMIT behind it, for `TileFiles.prewrite`."""

    @property
    def is_committing(self) -> bool:
        """Whether the COMMIT was sent: the answer said that the row is inserted, and its file is durable."""
        ...


class OpenRow(Protocol):
    """One INSERT in a transaction that is still open."""

    @property
    def answers(self) -> AwaitedInsert | None:
        """What awaits the answer to the INSERT, for `TileFiles.prewrite`; None: nothing can."""

    @property
    def is_committing(self) -> bool:
        """Whether `TileFiles.prewrite` has sent the COMMIT: then only `commit` is left, to read answers."""

    def finish_insert(self) -> None:
        """Wait for the answer to the INSERT; not while the row is committing.

        Raises `DuplicateTileError` when the tile has a committed row, or when another writer commits the
        same tile first.
        """

    def commit(self) -> TileMetadataPersistent:
        """Commit, after `finish_insert` where that was not called yet.

        Raises `HeadroomTakenError` (the transaction stays open), `StoreUnavailableError` when the row is
        certainly not committed, `CommitOutcomeUnknownError` when that can't be known.
        """


class OpenRows(Protocol):
    """The INSERT of a batch in one transaction that is still open."""

    def finish_insert(self) -> frozenset[TileId]:
        """Insert the tiles that have no committed row. Returns the other tiles: the duplicates."""

    @property
    def inserted(self) -> Mapping[TileId, TileMetadataPersistent]:
        """The rows of the open transaction, after `finish_insert`: those that `commit` would return."""

    def discard(self, tile_ids: Sequence[TileId]) -> None:
        """Take rows back out of the open transaction, because their files could not be placed."""

    def commit(self) -> dict[TileId, TileMetadataPersistent]:
        """Commit the rows that are left; raises as `OpenRow.commit` does."""


class OpenReplacement(Protocol):
    """A row that is being replaced, in a transaction that is still open."""

    @property
    def before(self) -> TileMetadataPersistent:
        """The committed row; no other writer can change it."""

    def commit(self) -> TileMetadataPersistent:
        """Replace the row's facts and commit; the tile counts as unsettled until it is settled.

        A pin stays, and the row is as one that was just written otherwise. Raises as `OpenRow.commit` does.
        """


class LockedRows(Protocol):
    """The rows while no writer, in any process, is between INSERT or UPDATE and COMMIT."""

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        """The committed rows of those tiles that have one."""


class TileRows(Protocol):
    """The rows of a store. Every method raises `StoreUnavailableError` when the database can't answer."""

    def store_id(self) -> UUID:
        """The identity of the store, created with the database and never changed."""

    def insert(self, metadata: TileMetadata, created_at: datetime) -> AbstractContextManager[OpenRow]:
        """Send an INSERT in a transaction that keeps `locked` out; leaving without `commit` rolls back.

        The answer is awaited by `OpenRow.finish_insert`, so that the caller can write bytes while the
        database works: to an unlinked file, and only for a tile that the catalogue does not know.
        """

    def insert_many(
        self, metadata: Sequence[TileMetadata], created_at: datetime
    ) -> AbstractContextManager[OpenRows]:
        """`insert` for a batch of distinct tiles; `locked` is kept out as soon as the context is entered.

        The rows are inserted by `OpenRows.finish_insert`, so that other threads can write bytes in the same
        time: under temporary names, and only for tiles that the catalogue does not know.
        """

    def amend(
        self, tile_id: TileId, captured_at: datetime, freshness_label: FreshnessLabel
    ) -> TileMetadataPersistent:
        """Put a tile's capture date right, with the label that follows from it; returns the committed row.

        Nothing else changes. Raises `TileNotFoundError`.
        """

    def replacing(
        self, metadata: TileMetadata, created_at: datetime
    ) -> AbstractContextManager[OpenReplacement]:
        """Lock a tile's row, to replace it by new facts, in a transaction that keeps `locked` out.

        Leaving without `commit` changes nothing. Raises `TileNotFoundError` when there is no row.
        """

    def unsettled(self, tile_ids: Iterable[TileId] | None = None) -> set[TileId]:
        """The tiles (of all, or of those given) whose replacement is committed and not settled yet.

        The file of such a tile may still have its second name only.
        """

    def settling(self, tile_id: TileId) -> AbstractContextManager[TileMetadataPersistent | None]:
        """Keep removals and other settlings of the tile out, and yield its committed row; None without one.

        The tile counts as settled once the context is left without an error, and every listener is told.
        """

    def removing(self, tile_id: TileId, *, evicting: bool = False) -> AbstractContextManager[int | None]:
        """Delete the row, commit, and yield its `disk_bytes`; None when there is no row.

        With `evicting`, a row that `tile_rules.may_be_evicted` refuses at this moment counts as no row.
        Until the context is left, no writer can insert the same tile, so its file can be unlinked safely.
        """

    def get(self, tile_id: TileId) -> TileMetadataPersistent | None:
        """The tile's committed row, or None."""

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        """The committed rows of those tiles that have one."""

    def committed(self) -> Iterator[TileMetadataPersistent]:
        """Every committed row, as one consistent snapshot."""

    def committed_metadata(self) -> Iterator[TileMetadata]:
        """What travels with the bytes of every committed tile, as one snapshot; `location_hash` is None."""

    def catalogue(self) -> tuple[CatalogueColumns, VariantTable]:
        """The catalogue columns of every committed row, as one consistent snapshot, in no particular order.

        The table names the flights of those rows and no others. Raises `TileMetadataError` when there are
        more flights than tile keys can tell apart.
        """

    def counts(self) -> dict[tuple[TileSource, int], int]:
        """The number of committed rows of each source and zoom level that has rows."""

    def counts_by_dataset(self) -> dict[str | None, int]:
        """The number of committed rows of each dataset that has rows, and of those without one as None."""

    def disk_usage(self) -> DiskUsage:
        """What the committed rows' tiles take, read as it is kept and not summed up."""

    def tile_runs(self) -> list[TileRun]:
        """The places of the grid that hold a committed row, sorted by zoom, column and row."""

    def locked(self, timeout_s: float) -> AbstractContextManager[LockedRows]:
        """Wait until no writer is between INSERT and COMMIT, and keep new ones waiting.

        Raises `StoreUnavailableError` when that takes longer than `timeout_s` seconds.
        """

    def rows_without_hash(self) -> Iterator[TileId]:
        """Rows from before migration 0002, which have neither hash nor size yet."""

    def fill_hash(self, tile_id: TileId, content_sha256: str, disk_bytes: int) -> None:
        """Fill hash and size of its file into such a row. Raises `TileNotFoundError` for any other."""

    def mark_files_missing(self, tile_ids: Iterable[TileId], at: datetime) -> None:
        """Mark rows whose file was missing at `at`; an earlier mark stays."""

    def marked_missing(self) -> Iterator[TileId]:
        """The rows with such a mark."""

    def mark_files_present(self, tile_ids: Iterable[TileId]) -> None:
        """Remove such marks."""
