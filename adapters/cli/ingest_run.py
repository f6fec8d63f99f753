"""One run over a folder of tiles: read, pass every gate, write in batches, note how each tile ended."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import attrs

from ...domain.errors import (
    AerotileError,
    CacheBudgetExhaustedError,
    DuplicateTileError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from ...domain.policies.jpeg import read_jpeg_size
from ...domain.ports.tile_store import TileWriteOutcome
from ...domain.store.tile_store import FileBackedTileStore
from ...domain.store.write_batches import overlapped
from ...domain.values.tile_grid import ground_sample_distance
from ...domain.values.tiles import FreshnessLabel, TileId, TileMetadata, TileSource
from .errors import one_line
from .xyz_folder import XyzFile, read_sidecar

MAX_TILE_BYTES = 64 << 20

Batch = list[XyzFile]

_FATAL = (CacheBudgetExhaustedError, StoreUnavailableError)


@attrs.frozen
class Refusal:
    """One tile that was not taken, and why."""

    file: str
    tile: str
    error: str
    message: str
    remedy: str | None


@attrs.define
class IngestReport:
    """How the tiles of a folder ended."""

    counts: Counter[str] = attrs.field(factory=Counter)
    """`stored` (`downgraded` ones included), `downgraded`, `present`, `refused`."""
    stored_bytes: int = 0
    refusals: list[Refusal] = attrs.field(factory=list)

    def refuse(self, tile: XyzFile, error: Exception, source: TileSource) -> None:
        """Note a tile that was not taken."""
        self.counts["refused"] += 1
        name = f"{source.value}/{tile.zoom_level}/{tile.x}/{tile.y}"
        remedy = error.remedy if isinstance(error, AerotileError) else None
        self.refusals.append(Refusal(tile.path, name, type(error).__name__, one_line(str(error)), remedy))

    @property
    def done(self) -> int:
        """How many tiles have ended."""
        return self.counts["stored"] + self.counts["present"] + self.counts["refused"]


@attrs.define
class _Taken:
    """A batch read from the disk, and what became of it."""

    writable: list[tuple[XyzFile, bytes, TileMetadata]] = attrs.field(factory=list)
    present: list[XyzFile] = attrs.field(factory=list)
    refused: list[tuple[XyzFile, Exception]] = attrs.field(factory=list)
    outcomes: list[TileWriteOutcome] = attrs.field(factory=list)
    """One for each of `writable`, unless there is an `error`."""
    error: AerotileError | None = None

    @property
    def fatal(self) -> AerotileError | None:
        """The error after which going on is pointless."""
        errors = (outcome.error for outcome in self.outcomes)
        return self.error or next((error for error in errors if isinstance(error, _FATAL)), None)


@attrs.frozen
class Ingest:
    """One run over a folder."""

    store: FileBackedTileStore
    source: TileSource
    captured_at: datetime
    tile_size_pixels: int
    at_once: int
    """How many batches are on their way at a time."""
    report: IngestReport = attrs.field(factory=IngestReport)
    _stopping: threading.Event = attrs.field(factory=threading.Event, init=False)

    def take(self, batches: Sequence[Batch]) -> Iterator[int]:
        """Write the batches, several at once, and yield how many tiles have ended.

        Raises the error that ends the whole run: no database, no disk, no room. What was under way when it
        happened has ended then, and is in the report.
        """
        fatal: AerotileError | None = None
        for taken in overlapped(self._take_one, batches, at_once=self.at_once):
            fatal = self._note(taken) or fatal
            yield self.report.done
        if fatal is not None:
            raise fatal

    def _take_one(self, batch: Batch) -> _Taken:
        """Read and write a batch; in one of several threads."""
        taken = _Taken()
        if self._stopping.is_set():
            return taken
        self._load(batch, taken)
        try:
            taken.outcomes = self.store.write_tiles([(pixels, facts) for _, pixels, facts in taken.writable])
        except AerotileError as error:
            taken.error = error
        if taken.fatal is not None:
            self._stopping.set()
        return taken

    def needed_bytes(self, tiles: Sequence[XyzFile]) -> int:
        """How much room the tiles need that are not in the store yet."""
        return sum(tile.size for tile in tiles if not self._is_known(tile))

    def _is_known(self, tile: XyzFile) -> bool:
        try:
            return self.store.tile_exists(TileId(tile.zoom_level, tile.x, tile.y, self.source))
        except ValueError:  # off the grid; it will be refused by name
            return True

    def _load(self, batch: Batch, taken: _Taken) -> None:
        """Sort the tiles of a batch: what can be written, what is there already, what can't be a tile."""
        for tile in batch:
            try:
                pixels, metadata = self._read(tile)
                if self._is_present(pixels, metadata):
                    taken.present.append(tile)
                else:
                    taken.writable.append((tile, pixels, metadata))
            except (ValueError, OSError, TileCacheError) as error:
                taken.refused.append((tile, error))

    def _read(self, tile: XyzFile) -> tuple[bytes, TileMetadata]:
        """The tile's bytes and facts. Raises `ValueError`, `OSError`, `TileMetadataError`."""
        tile_id = TileId(tile.zoom_level, tile.x, tile.y, self.source)
        with Path(tile.path).open("rb") as file:  # it may have grown since the folder was listed
            pixels = file.read(MAX_TILE_BYTES + 1)
        if len(pixels) > MAX_TILE_BYTES:
            size = max(tile.size, len(pixels))
            raise TileMetadataError(f"{size} bytes is no tile's size", tile_id=tile_id)
        width, height = read_jpeg_size(pixels)
        expected = self.tile_size_pixels
        if (width, height) != (expected, expected):
            raise TileMetadataError(
                f"it is {width} x {height} pixels, expected {expected} x {expected} (tiles.tile_size_pixels)",
                tile_id=tile_id,
            )
        claimed = read_sidecar(tile) if tile.has_sidecar else _sha256(pixels)
        return pixels, TileMetadata(
            tile_id=tile_id,
            captured_at=self.captured_at,
            content_sha256=claimed,
            disk_bytes=len(pixels),
            tile_size_pixels=expected,
            ground_sample_distance=ground_sample_distance(tile_id.centre[0], tile_id.zoom_level, expected),
        )

    def _is_present(self, pixels: bytes, metadata: TileMetadata) -> bool:
        """Whether the store holds these bytes. Raises `TileMetadataError` when it holds others.

        Bytes that are not what their sidecar claims count as absent: the store's hash gate refuses them.
        """
        tile_id = metadata.tile_id
        if not self.store.tile_exists(tile_id) or _sha256(pixels) != metadata.content_sha256:
            return False
        try:
            with self.store.read_tile_pixels(tile_id) as stored:
                same = bytes(memoryview(stored)) == pixels
        except TileNotFoundError:  # evicted or deleted meanwhile
            return False
        if not same:
            raise TileMetadataError("the store already holds this tile with other content", tile_id=tile_id)
        return True

    def _note(self, taken: _Taken) -> AerotileError | None:
        """Note how a batch ended; returns the error after which going on is pointless."""
        self.report.counts["present"] += len(taken.present)
        for tile, error in taken.refused:
            self.report.refuse(tile, error, self.source)
        for (tile, pixels, metadata), outcome in zip(taken.writable, taken.outcomes, strict=False):
            if outcome.stored is not None:
                self.report.counts["stored"] += 1
                self.report.stored_bytes += outcome.stored.disk_bytes
                if outcome.stored.freshness_label is FreshnessLabel.DOWNGRADED:
                    self.report.counts["downgraded"] += 1
            elif isinstance(outcome.error, DuplicateTileError):
                self._note_duplicate(tile, pixels, metadata)
            elif outcome.error is not None and not isinstance(outcome.error, _FATAL):
                self.report.refuse(tile, outcome.error, self.source)
        return taken.fatal

    def _note_duplicate(self, tile: XyzFile, pixels: bytes, metadata: TileMetadata) -> None:
        """Its row was there, yet it could not be read: another writer was faster, or the file is gone."""
        try:
            if self._is_present(pixels, metadata):
                self.report.counts["present"] += 1
                return
        except TileCacheError as error:
            self.report.refuse(tile, error, self.source)
            return
        gone = TileMetadataError(
            "its row is there, its file is missing",
            tile_id=metadata.tile_id,
            remedy=f"aerotile delete {metadata.tile_id}, then ingest again",
        )
        self.report.refuse(tile, gone, self.source)


def _sha256(pixels: bytes) -> str:
    return hashlib.sha256(pixels).hexdigest()
