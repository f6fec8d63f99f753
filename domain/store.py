"""The tile store: rows and files as one, read without the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .catalogue import CatalogueMatches
from .errors import TileNotFoundError
from .freshness import FreshnessGate, FreshnessVerdict
from .lru import LruAccessBuffer
from .ports import Clock, FlightRecorder, TilePixelHandle
from .reconcile import ReconcileReport, reconcile
from .storage import CommitOutcomeUnknownError, Headroom, NoBudget, TileCatalogue, TileFiles, TileRows
from .tile_changes import CatalogueFollower, TileChange
from .tile_grid import Bbox
from .tiles import TileId, TileMetadata, TileMetadataPersistent
from .write_tiles import TileWriteOutcome, TileWriter


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
        gate: FreshnessGate,
        clock: Clock,
        recorder: FlightRecorder,
        lru_clock: Clock | None = None,
        lru_buffer: LruAccessBuffer | None = None,
        when_in_doubt: Callable[[], None] = lambda: None,
        lock_timeout_s: float = 5.0,
    ) -> None:
        """Reconcile files and rows, and load `catalogue`, which from now on is this store's alone.

        Raises `StoreUnavailableError`.

        Reads are noted in `lru_buffer` by `lru_clock` when both are given. `when_in_doubt` is called when a
        commit's outcome is unknown; it must return at once and see to it that `apply_changes` is called soon,
        on another thread.
        """
        self._rows = rows
        self._files = files
        self._gate = gate
        self._clock = clock
        self._lru_clock = lru_clock
        self._lru_buffer = lru_buffer
        self._catalogue = catalogue
        self._follower = CatalogueFollower(
            rows, files, catalogue, forget=self._forget, when_in_doubt=when_in_doubt
        )
        self._writer = TileWriter(
            rows=rows,
            files=files,
            gate=gate,
            clock=clock,
            recorder=recorder,
            when_committed=catalogue.add_many,
        )
        self.opened: ReconcileReport = reconcile(
            rows, files, self._catalogue, now=clock.now(), lock_timeout_s=lock_timeout_s
        )

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore`."""
        if not self.tile_exists(tile_id):
            raise TileNotFoundError(tile_id)
        try:
            handle = self._files.open(tile_id)
        except TileNotFoundError:  # another process deleted it
            self._follower.forget_missing(tile_id)
            raise
        if self._lru_clock is not None and self._lru_buffer is not None:
            self._lru_buffer.note(tile_id, self._lru_clock.now())
        return handle

    def tile_exists(self, tile_id: TileId) -> bool:
        """See `TileStore`."""
        return tile_id in self._catalogue

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """The freshness verdict on a stored tile as of now; None when the store does not hold it."""
        captured_us = self._catalogue.captured_us(tile_id)
        return None if captured_us is None else self._gate.verdict_on(tile_id, captured_us, self._clock.now())

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

    def apply_changes(self, changes: Iterable[TileChange]) -> None:
        """See `TileFollower`: what others commit is read as what this process wrote."""
        self._follower.apply(changes)

    def reload(self) -> None:
        """See `TileFollower`; readers and writers go on meanwhile."""
        self._follower.reload()

    def __len__(self) -> int:
        """How many committed tiles this process knows of."""
        return len(self._catalogue)
