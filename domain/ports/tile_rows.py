"""The rows of a store, as its write path and its opening use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from ..values.catalogue_entries import (
    CatalogueColumns,
)
from ..values.tile_key import VariantTable
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource


class OpenRow(Protocol):
    """A row inserted in a transaction that is still open."""

    def commit(self) -> TileMetadataPersistent:
        """Commit.

        Raises `HeadroomTakenError` (the transaction stays open), `StoreUnavailableError` when the row is
        certainly not committed, `CommitOutcomeUnknownError` when that can't be known.
        """
        ...


class OpenRows(Protocol):
    """Many rows inserted in one transaction that is still open."""

    @property
    def duplicates(self) -> frozenset[TileId]:
        """Which of the tiles were already committed, and so were not inserted."""
        ...

    def discard(self, tile_ids: Sequence[TileId]) -> None:
        """Take rows back out of the open transaction, because their files could not be placed."""
        ...

    def commit(self) -> dict[TileId, TileMetadataPersistent]:
        """Commit all the rest at once; raises as `OpenRow.commit` does."""
        ...


class LockedRows(Protocol):
    """The rows while no writer, in any process, is between INSERT and COMMIT."""

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        """The committed rows of those tiles that have one."""
        ...


class TileRows(Protocol):
    """The rows of a store. Every method raises `StoreUnavailableError` when the database can't answer."""

    def store_id(self) -> UUID:
        """The identity of the store, made with the database and never changed."""
        ...

    def insert(
        self,
        metadata: TileMetadata,
        created_at: datetime,
        *,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> AbstractContextManager[OpenRow]:
        """Insert in an open transaction that keeps `locked` out; leaving without `commit` rolls back.

        `meanwhile` is called while the database is at work, or else before it is asked; it never fails.

        Raises `DuplicateTileError` at once when the tile has a committed row, and when another writer
        commits the same tile first.
        """
        ...

    def insert_many(
        self,
        metadata: Sequence[TileMetadata],
        created_at: datetime,
        *,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> AbstractContextManager[OpenRows]:
        """`insert` for a batch of distinct tiles.

        `meanwhile` is called when `locked` is kept out and before the rows are made; it returns at once and
        never fails.
        """
        ...

    def removing(self, tile_id: TileId, *, evicting: bool = False) -> AbstractContextManager[int | None]:
        """Delete the row, commit, and yield its `disk_bytes`; None when there is none.

        With `evicting`, a row that `tile_rules.may_be_evicted` refuses as it is now counts as none.
        Until the context is left, no writer can insert the same tile, so its file can be unlinked safely.
        """
        ...

    def get(self, tile_id: TileId) -> TileMetadataPersistent | None:
        """The tile's committed row, or None."""
        ...

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        """The committed rows of those tiles that have one."""
        ...

    def committed(self) -> Iterator[TileMetadataPersistent]:
        """Every committed row, as one consistent snapshot."""
        ...

    def catalogue(self) -> tuple[CatalogueColumns, VariantTable]:
        """What a catalogue keeps of every committed row, as one consistent snapshot, in no particular order.

        The table names the flights of those rows and no others. Raises `TileMetadataError` when they are more
        than tile keys can tell apart.
        """
        ...

    def counts(self) -> dict[tuple[TileSource, int], int]:
        """How many committed rows there are of each source and zoom level; those without any are left out."""
        ...

    def locked(self, timeout_s: float) -> AbstractContextManager[LockedRows]:
        """Wait until no writer is between INSERT and COMMIT, and keep new ones waiting.

        Raises `StoreUnavailableError` when that takes longer than `timeout_s` seconds.
        """
        ...

    def incomplete(self) -> Iterator[TileId]:
        """Rows from before migration 0002, which know neither hash nor size yet."""
        ...

    def complete(self, tile_id: TileId, content_sha256: str, disk_bytes: int) -> None:
        """Give such a row the hash and size of its file."""
        ...

    def mark_files_missing(self, tile_ids: Iterable[TileId], at: datetime) -> None:
        """Note on rows that their file was not there at `at`; a note made earlier stays."""
        ...

    def marked_missing(self) -> Iterator[TileId]:
        """The rows that bear such a note."""
        ...

    def mark_files_present(self, tile_ids: Iterable[TileId]) -> None:
        """Take such notes away again."""
        ...
