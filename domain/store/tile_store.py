"""The tile store: rows and files together, read without the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from ..errors import DuplicateTileError, StoreUnavailableError
from ..make_events import lookup_unknown_event
from ..policies.clock_trust import ClockFault
from ..ports.tile_catalogue import TileCatalogue
from ..ports.tile_store import AmendedTile, ReplacedTile, TileWriteOutcome
from ..values.pixels import TileBytes, TilePixelHandle, as_bytes
from ..values.tile_changes import ChangeKind, TileChange
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent
from ..values.validators import check_kind, check_timeout, taken_as
from .amend_tile import amend_tile
from .delete_tile import TileDeleter
from .freshness_gate import judge_stored
from .read_tile import FastReader, SupportsFastReader
from .recovery import ReconcileReport, reconcile
from .replace_tile import replace_tile
from .stored_tiles import StoredTiles
from .tile_store_parts import TileStoreParts
from .write_batch import checked_batch, write_batch
from .write_tile import write_tile


class FileBackedTileStore(StoredTiles):
    """A `TileStore` over `TileRows` and `TileFiles`, for one process; other processes may use the same store.

    A committed tile has its file with the right hash; a file without a committed row is never read. Also
    implements `SupportsLocalReads`, `SupportsLocalWrites`, `RecordsLookups` and `TileChangeListener`.
    Safe for threads.

    In a child that was forked since, every change raises `ForkedProcessError`. Reads go on there over the
    tiles that were known at the fork.
    """

    def __init__(
        self,
        parts: TileStoreParts,
        *,
        verify_hash: bool = False,
        read_deadline_s: float | None = None,
        lock_timeout_s: float = 5.0,
        check_process: Callable[[], None] = lambda: None,
    ) -> None:
        """Reconcile files and rows, and load the catalogue of `parts.sync`. Raises `StoreUnavailableError`.

        With `verify_hash` pixels are hashed once each time that they are opened. A read waits for the disk at
        most `read_deadline_s` seconds; None: without a limit.
        `check_process` raises `ForkedProcessError` in a child that was forked since; it must take no lock.
        """
        super().__init__(
            parts.rows,
            parts.files,
            sync=parts.sync,
            judge=partial(judge_stored, parts.gate, parts.clock_guard),
            verify_hash=verify_hash,
            read_deadline_s=read_deadline_s,
            recalls=parts.recalls,
            check_process=check_process,
        )
        self._parts = parts
        self._clock = parts.clock_guard
        self._get_cached = parts.sync.mapping_cache.get  # bound: the look-up is a good part of a read's time
        self._deleter = TileDeleter(parts.rows, parts.files, parts.sync)
        self.unknown_lookups = 0
        """Lookups whose candidates were all unknown to this store."""
        self._fast_reads: FastReader | None = None
        if isinstance(parts.files, SupportsFastReader) and not verify_hash:
            self._read_fast(parts.files)
        self.opened: ReconcileReport = reconcile(
            parts.rows,
            parts.files,
            parts.sync.catalogue,
            now=parts.clock.now(),
            lock_timeout_s=lock_timeout_s,
        )
        self._recalls.when_changed(self._follow_recalls)
        self._clock.look()  # now the catalogue holds the latest proven time

    def _read_fast(self, files: SupportsFastReader) -> None:
        """Replace the two methods below, which say what they mean, with compiled ones."""
        reads = files.fast_reader(
            self._sync.mapping_cache,
            self._catalogue,
            slow_read_pixels=lambda tile_id: self._reader.read_first(tile_id, self._read_deadline_s),
            slow_read_bytes=self.read_tile_bytes,
        )
        if reads is not None:
            # A Python frame around them is a tenth of a read. (The ignored complaint is that a method is
            # assigned to; it is one of the same signature.)
            self.read_tile_pixels = reads.read_pixels  # type: ignore[method-assign]
            self.read_tile_bytes = reads.read_bytes  # type: ignore[method-assign]
            self._fast_reads = reads

    def _follow_recalls(self) -> None:
        """Have each tile opened anew, and checked then; without a list in force no read calls a check."""
        check = None if self._recalls.in_force is None else self._reader.check_recalls
        if self._fast_reads is not None:
            self._fast_reads.check_by(check)
        if check is not None:
            self._sync.mapping_cache.invalidate_all()

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore`."""
        # A cached mapping proves that the tile is stored: removing a tile invalidates its mapping.
        handle = self._get_cached(tile_id)
        return self._reader.read_first(tile_id, self._read_deadline_s) if handle is None else handle

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """See `SupportsLocalReads`."""
        timeout_s = check_timeout(timeout_s)
        handle = self._get_cached(tile_id)
        return self._reader.read_first(tile_id, timeout_s) if handle is None else handle

    def is_sealed(self, tile_id: TileId) -> bool:
        """Whether a sealed base holds the tile, which can't be changed then; a store alone has none."""
        check_kind(tile_id, TileId, "tile_id")
        return False

    @property
    def clock_fault(self) -> ClockFault | None:
        """Why the clock is not trusted, judged now by everything that this process knows; None: it is."""
        self._clock.look()
        return self._clock.doubt

    @property
    def catalogue(self) -> TileCatalogue:
        """The committed tiles as this process knows them; commits of others arrive within milliseconds."""
        return self._catalogue

    def record_unknown_candidates(self, tile_ids: Sequence[TileId]) -> None:
        """See `RecordsLookups`."""
        self.unknown_lookups += 1
        self._parts.recorder.record(lookup_unknown_event(taken_as(tile_ids, TileId, "tile_ids")))

    def write_tile(self, pixels: TileBytes, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileStore`."""
        self._check_process()
        jpeg = as_bytes(pixels)
        check_kind(metadata, TileMetadata, "metadata")
        with self._sync.changing([metadata.tile_id]):
            return write_tile(self._parts, jpeg, metadata)

    def write_tiles(self, tiles: Iterable[tuple[TileBytes, TileMetadata]]) -> list[TileWriteOutcome]:
        """See `SupportsLocalWrites`."""
        self._check_process()
        batch = checked_batch(tiles)
        with self._sync.changing([metadata.tile_id for _, metadata in batch]):
            outcomes = write_batch(self._parts, batch)
        self._look_for_duplicates(batch, outcomes)
        return outcomes

    def _look_for_duplicates(
        self, batch: Sequence[tuple[object, TileMetadata]], outcomes: Sequence[TileWriteOutcome]
    ) -> None:
        """Enter the duplicates that another process has just committed, whose notice is on its way."""
        unknown = [
            metadata.tile_id
            for (_, metadata), outcome in zip(batch, outcomes, strict=True)
            if isinstance(outcome.error, DuplicateTileError) and metadata.tile_id not in self._catalogue
        ]
        if unknown:
            with suppress(StoreUnavailableError):  # the notice comes when the database is back
                self._sync.apply(TileChange(ChangeKind.CHANGED, tile_id) for tile_id in unknown)

    def delete_tile(self, tile_id: TileId) -> int:
        """See `TileStore`."""
        self._check_process()
        check_kind(tile_id, TileId, "tile_id")
        return self._deleter.delete_tile(tile_id)

    def amend_capture_time(self, tile_id: TileId, captured_at: datetime) -> AmendedTile:
        """See `SupportsLocalWrites`."""
        self._check_process()
        check_kind(tile_id, TileId, "tile_id")
        return amend_tile(self._parts, tile_id, captured_at)

    def replace_tile(self, pixels: TileBytes, metadata: TileMetadata) -> ReplacedTile:
        """See `SupportsLocalWrites`; `pixels` as `write_tile` takes them."""
        self._check_process()
        jpeg = as_bytes(pixels)
        check_kind(metadata, TileMetadata, "metadata")
        with self._sync.changing([metadata.tile_id]):
            return replace_tile(self._parts, jpeg, metadata)

    def evict_tile(self, tile_id: TileId) -> int:
        """See `SupportsLocalWrites`."""
        self._check_process()
        check_kind(tile_id, TileId, "tile_id")
        return self._deleter.evict_tile(tile_id)
