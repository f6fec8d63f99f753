"""The tile store: rows and files as one, read without the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from .catalogue import CatalogueMatches
from .errors import TileNotFoundError
from .freshness import FreshnessGate, FreshnessVerdict
from .kept_pixels import KeptPixels, PlainKeptPixels
from .ports import Clock, FlightRecorder, TilePixelHandle
from .read_tiles import TileReader
from .reconcile import ReconcileReport, reconcile
from .storage import CommitOutcomeUnknownError, Headroom, NoBudget, TileCatalogue, TileFiles, TileRows
from .tile_grid import Bbox
from .tiles import TileId, TileMetadata, TileMetadataPersistent
from .write_tiles import TileWriteOutcome, TileWriter

MAX_UNEXPLAINED = 4_096
"""Tiles of other processes that may wait to be learnt of; more are asked for again by their readers."""


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
        kept: KeptPixels | None = None,
        verify_hash: bool = False,
        read_deadline_s: float | None = None,
        when_unexplained: Callable[[], None] = lambda: None,
        lock_timeout_s: float = 5.0,
    ) -> None:
        """Reconcile files and rows, and load `catalogue`, which from now on is this store's alone.

        Raises `StoreUnavailableError`.

        `kept` keeps the pixels of tiles that were read, and notes reads; default a plain one. With
        `verify_hash` pixels are hashed once each time that they are opened. A read waits for the disk at most
        `read_deadline_s` seconds; None: as long as it takes. `when_unexplained` is called by a reader that
        met a file of which the catalogue knows nothing; it must return at once and see to it that `learn` is
        called soon, on another thread.
        """
        self._rows = rows
        self._files = files
        self._gate = gate
        self._catalogue = catalogue
        self.kept: KeptPixels = PlainKeptPixels() if kept is None else kept
        self._get_kept = self.kept.get  # bound once: looking it up would be a good part of what a read costs
        self._when_unexplained = when_unexplained
        self._unexplained: set[TileId] = set()
        self._unexplained_lock = threading.Lock()
        self._writer = TileWriter(rows=rows, files=files, gate=gate, clock=clock, recorder=recorder)
        self._reader = TileReader(
            files=files,
            catalogue=self._catalogue,
            kept=self.kept,
            holds=self.tile_exists,
            verify_hash=verify_hash,
        )
        self._read_deadline_s = read_deadline_s
        self.opened: ReconcileReport = reconcile(
            rows, files, self._catalogue, now=clock.now(), lock_timeout_s=lock_timeout_s
        )

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
        if tile_id in self._catalogue:
            return True
        if self._files.exists(tile_id):
            # Another process committed it, or is about to, or died before it could: not for a reader to ask.
            with self._unexplained_lock:
                if len(self._unexplained) < MAX_UNEXPLAINED:
                    self._unexplained.add(tile_id)
            self._when_unexplained()
        return False

    def learn(self) -> int:
        """Ask the database about files that readers met and the catalogue can't explain.

        Returns how many tiles of other processes this one now knows of. Raises `StoreUnavailableError`.
        """
        learnt = 0
        while self._unexplained:
            with self._unexplained_lock:
                tile_id = next(iter(self._unexplained))
            row = self._rows.get(tile_id)
            with self._unexplained_lock:
                self._unexplained.discard(tile_id)
            if row is not None:
                self._learn_of(row)
                learnt += 1
        return learnt

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """The freshness verdict on a stored tile as of now; None when the store does not hold it."""
        entry = self._catalogue.get(tile_id)
        return None if entry is None else self._gate.verdict(tile_id.bbox, entry.captured_at)

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
        stored = self._writer.write(pixels, metadata, headroom)
        self._learn_of(stored)
        return stored

    def write_tiles_within(
        self, tiles: Sequence[tuple[bytes, TileMetadata]], headroom: Headroom
    ) -> list[TileWriteOutcome]:
        """See `SupportsHeadroom`."""
        outcomes = self._writer.write_batch(tiles, headroom)
        for outcome in outcomes:
            if outcome.stored is not None:
                self._learn_of(outcome.stored)
        return outcomes

    def delete_tile(self, tile_id: TileId) -> int:
        """See `TileStore`: the row's removal is committed, then the file is unlinked."""
        try:
            with self._rows.removing(tile_id) as freed:
                self._reader.forget(tile_id)
                if freed is None:
                    raise TileNotFoundError(tile_id)
                self._files.remove(tile_id)
        except CommitOutcomeUnknownError:
            # Its file may be an orphan by now. If the row is there after all, `learn` finds it again.
            self._reader.forget(tile_id)
            raise
        return freed

    def _learn_of(self, row: TileMetadataPersistent) -> None:
        """Note a committed tile; with other content than was known, what is kept is of one deleted since."""
        if self._catalogue.add(row):
            self.kept.drop(row.tile_id)

    def __len__(self) -> int:
        """How many committed tiles this process knows of."""
        return len(self._catalogue)
