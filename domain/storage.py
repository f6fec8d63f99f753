"""The two halves of a tile store, rows and files, as the store's use cases need them.

A store is `aerotile.domain.store.FileBackedTileStore` over one implementation of each: PostgreSQL and a
filesystem in an aircraft, memory in tests. The use cases own the order of the steps; the halves own the SQL
and the system calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from .errors import CacheBudgetExhaustedError, StoreUnavailableError, TileCacheError
from .inventory import FoundFile, TileInventory
from .ports import TilePixelHandle
from .tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource

if TYPE_CHECKING:
    from .catalogue import CatalogueColumns, CatalogueEntry, CatalogueMatches, EvictionCandidate, Keys
    from .tile_changes import TileChange
    from .tile_grid import Bbox
    from .tile_key import VariantTable


class CommitOutcomeUnknownError(StoreUnavailableError):
    """The connection was lost during COMMIT and the database can't be asked how it ended.

    The files stay: if the rows were committed they belong to them, if not the next open removes them.
    """


class NoMappingLeftError(StoreUnavailableError):
    """The system refuses to map another file; giving some mappings back may help."""


class NoTileFileError(StoreUnavailableError):
    """What stands in a tile file's place is no file: a folder, a symbolic link, a pipe, a device."""


class Headroom(Protocol):
    """Where a write reserves its room."""

    def reserve_headroom(self, needed_bytes: int) -> AbstractContextManager[object]:
        """Reserve room until the context is left. Raises `CacheBudgetExhaustedError`."""
        ...


class NoBudget:
    """Headroom without a limit, for a store whose budget is kept elsewhere."""

    def reserve_headroom(self, needed_bytes: int) -> AbstractContextManager[object]:
        """Room for everything."""
        return nullcontext()


class HeadroomTakenError(CacheBudgetExhaustedError):
    """Another process took the reserved room before the commit; evicting again may help."""


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

        With `evicting`, a row that may not be evicted as it is now (`budget.may_be_evicted`) counts as none.
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


class TileCatalogue(Protocol):
    """What this process knows of all committed tiles, so that reads need no database.

    Any thread may read at any time without waiting for changes; changes wait for each other. Nothing is
    durable: it is loaded when a store is opened and follows what is committed since.
    """

    def load(self, columns: CatalogueColumns, variants: VariantTable, *, since: int | None = None) -> None:
        """Replace everything; readers see the old tiles until the new ones are all there.

        With `since`, the last value of `mark`, the tiles added and removed after that mark stay added and
        removed, and no access time goes back: so a reload can run beside writers. Raises `ValueError` for a
        key that names no tile by `variants`, for another mark, and for a mark that was used already.
        """
        ...

    def mark(self) -> int:
        """Begin a reload: remember which tiles change from now on. An earlier mark is given up."""
        ...

    def add(self, row: TileMetadataPersistent) -> bool:
        """Note a committed tile as it is now; its access time never goes back.

        Returns whether the content is news: the tile was not known, or with another SHA-256.
        """
        ...

    def add_many(self, rows: Iterable[TileMetadataPersistent]) -> None:
        """Note many committed tiles."""
        ...

    def remove(self, tile_id: TileId) -> bool:
        """Forget a tile; whether it was known."""
        ...

    def note_accesses(self, tile_ids: Sequence[TileId], accessed_us: Sequence[int] | Keys) -> None:
        """Note when tiles were last read (microseconds since 1970 UTC, one for each tile).

        Unknown tiles are ignored, and time never goes back. Raises `ValueError` for unequal lengths.
        """
        ...

    def lru_candidates(self, limit: int) -> list[EvictionCandidate]:
        """The tiles that may be evicted, least recently used first.

        Raises `ValueError` for a limit below 1.
        """
        ...

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """The tiles of one zoom that cover a point of `bbox`, as `GridRange.covering` has it.

        Raises `ValueError` for a zoom outside 0..22. A box across the antimeridian is two queries.
        """
        ...

    def get(self, tile_id: TileId) -> CatalogueEntry | None:
        """What is known of a tile, or None."""
        ...

    def captured_us(self, tile_id: TileId) -> int | None:
        """When the ground looked like that, microseconds since 1970 UTC; None for an unknown tile."""
        ...

    def latest_capture_us(self) -> int:
        """The latest capture time of all tiles ever known, microseconds since 1970 UTC; at least 0."""
        ...

    def latest_access_us(self) -> int:
        """The latest access time of all tiles ever known, likewise."""
        ...

    def total_disk_bytes(self) -> int:
        """The sum of all tiles' bytes, kept as one number."""
        ...

    def snapshot(self) -> tuple[Keys, VariantTable]:
        """Every tile's key as it is now, sorted, read-only, with a table that decodes them."""
        ...

    def __contains__(self, tile_id: TileId) -> bool: ...

    def __len__(self) -> int: ...


class TileFollower(Protocol):
    """Who is told what is committed, by whichever process; a store that keeps a catalogue."""

    def apply_changes(self, changes: Iterable[TileChange]) -> None:
        """Follow changes, in the order of their commits; also called with none, to settle what is in doubt.

        Raises `StoreUnavailableError`; what was not settled is remembered for the next call.
        """
        ...

    def reload(self) -> None:
        """Read everything anew, because changes may have been missed. Raises `StoreUnavailableError`."""
        ...


class StagedTile(Protocol):
    """A tile whose bytes passed the hash gate and can now be placed. Nothing is on the disk yet."""

    def write_ahead(self) -> None:
        """Do what can be done of `place` while no name leads to it, or nothing; never fails.

        A crash leaves nothing of it. Whatever hinders it is for `place` to report.
        """
        ...

    def place(self) -> None:
        """Put file and sidecar durably in place. Raises `StoreUnavailableError`; then neither is there."""
        ...

    def withdraw(self) -> None:
        """Remove what `write_ahead` and `place` made, unless another writer has replaced them since."""
        ...


MALFORMED_SIDECAR = ""
"""What a sidecar claims that is not one well-formed line."""


class TileFiles(Protocol):
    """The files of a store; `str` names the place. Every method may raise `StoreUnavailableError`."""

    def store_id(self) -> UUID | None:
        """The identity of the store that these files belong to; None when no store has claimed them."""
        ...

    def claim(self, store_id: UUID) -> UUID:
        """Note durably that the files belong to this store, unless one was first; return whose they are."""
        ...

    def stage(self, pixels: bytes, metadata: TileMetadata) -> StagedTile:
        """The hash gate: length, SHA-256, and the JPEG start and end markers, before any I/O.

        Raises `ContentHashMismatchError` (length, hash) or `TileMetadataError` (no JPEG).
        """
        ...

    def stage_many(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[StagedTile | TileCacheError]:
        """`stage` for a batch; entry i is what tile i was staged as, or the error that refuses it."""
        ...

    def writing_ahead(self, staged: Sequence[StagedTile]) -> AbstractContextManager[Callable[[], object]]:
        """Yield what begins to write tiles under temporary names, for a `place_many` within.

        What is yielded returns at once and never fails: what hinders it is for `place_many` to report. It may
        be called once `TileRows.locked` is kept out, or not at all. When the context is left, nothing is
        under way any more, and what was written and not placed is gone.
        """
        ...

    def place_many(self, staged: Sequence[StagedTile]) -> list[StoreUnavailableError | None]:
        """Place a batch durably; entry i is why tile i could not be placed, or None."""
        ...

    def open(self, tile_id: TileId, timeout_s: float | None = None) -> TilePixelHandle:
        """The tile's bytes, read-only, and in memory: reading them waits for no disk.

        Waits for the disk at most `timeout_s` seconds; None: as long as it takes. Raises `TileNotFoundError`,
        `ReadDeadlineError`, `NoMappingLeftError`.
        """
        ...

    def read(self, tile_id: TileId, timeout_s: float | None = None) -> bytes:
        """A copy of the tile's bytes, without mapping them; waits and raises as `open` does."""
        ...

    def exists(self, tile_id: TileId) -> bool:
        """Whether the tile's file is there."""
        ...

    def remove(self, tile_id: TileId) -> bool:
        """Unlink file and sidecar; whether the file was there."""
        ...

    def quarantine(self, tile_id: TileId) -> str | None:
        """Move file and sidecar, or what stands in their place, out of the way, durably.

        Returns where the file is now; None when there is none. What was quarantined before stays.
        """
        ...

    def discard(self, found: FoundFile) -> bool:
        """Unlink one file of an inventory; whether it was still there."""
        ...

    def inventory(self) -> TileInventory:
        """Every tile, sidecar and temporary file under the root, by their names alone.

        What is placed or removed meanwhile may be in it or not; everything else is.
        """
        ...

    def restore_sidecar(self, tile_id: TileId, content_sha256: str) -> None:
        """Write the sidecar anew from the database's hash."""
        ...

    def content_sha256(self, tile_id: TileId) -> str:
        """Hash the file as it is on the disk now. Raises `TileNotFoundError`, `NoTileFileError`."""
        ...

    def sidecar_sha256(self, tile_id: TileId) -> str | None:
        """What the sidecar claims: None when it is missing, `MALFORMED_SIDECAR` when it is no such line."""
        ...
