"""The tile store: rows and files as one, read without the database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import attrs

from ..errors import CommitOutcomeUnknownError, TileNotFoundError
from ..policies.clock_trust import ClockFault
from ..policies.freshness import FreshnessVerdict
from ..ports.clock import Clock
from ..ports.flight_recorder import FlightRecorder
from ..ports.headroom import Headroom, NoBudget
from ..ports.mapping_cache import MappingCache
from ..ports.tile_catalogue import TileCatalogue
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..ports.tile_store import TileWriteOutcome
from ..values.catalogue_entries import CatalogueMatches
from ..values.pixels import TilePixelHandle
from ..values.tile_changes import TileChange
from ..values.tile_grid import Bbox
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent
from .catalogue_sync import CatalogueSync
from .clock_guard import ClockGuard
from .freshness_gate import FreshnessGate
from .read_tile import SupportsFastReader, TileReader
from .recovery import ReconcileReport, reconcile
from .write_tile import TileWriter


class FileBackedTileStore:
    """A `TileStore` over `TileRows` and `TileFiles`, for one process; others may use the same store.

    A committed tile has its file with the right hash; a file without a committed row is never read.
    """

    def __init__(
        self,
        rows: TileRows,
        files: TileFiles,
        *,
        catalogue: TileCatalogue,
        mapping_cache: MappingCache,
        gate: FreshnessGate,
        clock: Clock,
        recorder: FlightRecorder,
        verify_hash: bool = False,
        read_deadline_s: float | None = None,
        clock_guard: ClockGuard | None = None,
        when_in_doubt: Callable[[], None] = lambda: None,
        lock_timeout_s: float = 5.0,
    ) -> None:
        """Reconcile files and rows, and load `catalogue`, which from now on is this store's alone.

        Raises `StoreUnavailableError`.

        `mapping_cache` keeps the pixels of tiles that were read, and notes reads. With `verify_hash`
        pixels are hashed once each time that they are opened. A read waits for the disk at most
        `read_deadline_s` seconds; None: as long as it takes. `clock_guard` guards `clock` by what `catalogue`
        knows; default one of this store's own. `when_in_doubt` is called when a commit's outcome is unknown;
        it must return at once and see to it that `apply_changes` is called soon, on another thread.
        """
        self._rows = rows
        self._files = files
        self._gate = gate
        self._clock = ClockGuard(clock, catalogue, recorder) if clock_guard is None else clock_guard
        self._catalogue = catalogue
        self.mapping_cache = mapping_cache
        self._get_kept = (
            self.mapping_cache.get
        )  # bound once: looking it up would be a good part of what a read costs
        self._follower = CatalogueSync(
            rows, files, catalogue, forget=self._forget, when_in_doubt=when_in_doubt
        )
        self._writer = TileWriter(
            rows=rows,
            files=files,
            gate=gate,
            stamp=self._clock.stamp,
            recorder=recorder,
            is_known=catalogue.__contains__,
            when_committed=self._learn_of,
        )
        self._reader = TileReader(
            files=files,
            catalogue=catalogue,
            mapping_cache=self.mapping_cache,
            when_missing=self._follower.forget_missing,
            verify_hash=verify_hash,
        )
        self._read_deadline_s = read_deadline_s
        if isinstance(files, SupportsFastReader) and not verify_hash:
            self._read_at_once(files)
        self.opened: ReconcileReport = reconcile(
            rows, files, self._catalogue, now=clock.now(), lock_timeout_s=lock_timeout_s
        )
        self._clock.look()  # the catalogue knows by now what the time has been already

    def _read_at_once(self, files: SupportsFastReader) -> None:
        """Let compiled reads take the place of the methods below, which say what they mean."""
        reads = files.fast_reader(
            self.mapping_cache,
            self._catalogue,
            slow_read_pixels=lambda tile_id: self._reader.read_first(tile_id, self._read_deadline_s),
            slow_read_bytes=self.read_tile_bytes,
        )
        if reads is not None:
            # A Python frame around them is a tenth of a read. (The ignored complaint is that a method is
            # assigned to; it is one of the same signature.)
            self.read_tile_pixels = reads.read_pixels  # type: ignore[method-assign]
            self.read_tile_bytes = reads.read_bytes  # type: ignore[method-assign]

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore`."""
        # What is kept is there: whoever removes a tile drops it.
        handle = self._get_kept(tile_id)
        return self._reader.read_first(tile_id, self._read_deadline_s) if handle is None else handle

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """See `SupportsReadDeadline`."""
        if timeout_s is not None and not timeout_s >= 0:
            raise ValueError(f"timeout_s must be 0 or more seconds, got {timeout_s!r}")
        handle = self._get_kept(tile_id)
        return self._reader.read_first(tile_id, timeout_s) if handle is None else handle

    def read_tile_bytes(self, tile_id: TileId) -> bytes:
        """See `SupportsByteRead`."""
        return self._reader.read_bytes(tile_id, self._read_deadline_s)

    def tile_exists(self, tile_id: TileId) -> bool:
        """See `TileStore`."""
        return tile_id in self._catalogue

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """The freshness verdict on a stored tile as of now; None when the store does not hold it."""
        captured_us = self._catalogue.captured_us(tile_id)
        if captured_us is None:
            return None
        verdict, doubt = self._gate.verdict_on(tile_id, captured_us, self._clock.now()), self._clock.doubt
        return verdict if doubt is None else attrs.evolve(verdict, clock_fault=doubt)

    @property
    def clock_fault(self) -> ClockFault | None:
        """What speaks against the clock by all that this process knows; None when nothing does."""
        self._clock.look()
        return self._clock.doubt

    @property
    def catalogue(self) -> TileCatalogue:
        """What this process knows of the tiles; others' commits reach it within milliseconds."""
        return self._catalogue

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """See `SupportsBboxQuery`."""
        return self._catalogue.query_by_bbox(bbox, zoom_level)

    def write_tile(self, pixels: bytes, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileStore`."""
        return self.write_tile_within(pixels, metadata, NoBudget())

    def write_tiles(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[TileWriteOutcome]:
        """See `SupportsBulkWrite`."""
        return self.write_tiles_within(tiles, NoBudget())

    def write_tile_within(
        self, pixels: bytes, metadata: TileMetadata, headroom: Headroom
    ) -> TileMetadataPersistent:
        """See `SupportsHeadroom`."""
        with self._follower.changing([metadata.tile_id]):
            return self._writer.write(pixels, metadata, headroom)

    def write_tiles_within(
        self, tiles: Sequence[tuple[bytes, TileMetadata]], headroom: Headroom
    ) -> list[TileWriteOutcome]:
        """See `SupportsHeadroom`."""
        with self._follower.changing([metadata.tile_id for _, metadata in tiles]):
            return self._writer.write_batch(tiles, headroom)

    def delete_tile(self, tile_id: TileId) -> int:
        """See `TileStore`: the row's removal is committed, then the file is unlinked."""
        return self._delete(tile_id, evicting=False)

    def evict_tile(self, tile_id: TileId) -> int:
        """See `SupportsEviction`."""
        try:
            return self._delete(tile_id, evicting=True)
        except TileNotFoundError:
            self._follower.refresh(tile_id)
            raise

    def _delete(self, tile_id: TileId, *, evicting: bool) -> int:
        with self._follower.changing([tile_id]):
            try:
                with self._rows.removing(tile_id, evicting=evicting) as freed_bytes:
                    if freed_bytes is not None or not evicting:
                        self._forget(tile_id)
                    if freed_bytes is None:
                        raise TileNotFoundError(tile_id)
                    self._files.remove(tile_id)
                    return freed_bytes
            except CommitOutcomeUnknownError:
                self._forget(tile_id)  # its file may be an orphan by now
                raise

    def _forget(self, tile_id: TileId) -> None:
        """Forget a tile that is not committed any more, or with other content."""
        self._catalogue.remove(tile_id)
        self.mapping_cache.invalidate(tile_id)

    def _learn_of(self, rows: Collection[TileMetadataPersistent]) -> None:
        """Note committed tiles. With content that is news, what is kept is of a tile deleted since."""
        for row in rows:
            if self._catalogue.add(row):
                self.mapping_cache.invalidate(row.tile_id)

    def apply_changes(self, changes: Iterable[TileChange]) -> None:
        """See `TileChangeListener`: what others commit is read as what this process wrote."""
        self._follower.apply(changes)

    def reload(self) -> None:
        """See `TileChangeListener`; readers and writers go on meanwhile."""
        self._follower.reload()
        self.mapping_cache.invalidate_all()

    def __len__(self) -> int:
        """How many committed tiles this process knows of."""
        return len(self._catalogue)
