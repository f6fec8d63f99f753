"""`TileIntake`: read offered tiles, pass every gate, write in batches, report how each tile ended."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Protocol, TypeAlias

import attrs

from ..errors import (
    AerotileError,
    CacheBudgetExhaustedError,
    CaptureTimeConflictError,
    DuplicateTileError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from ..policies.freshness import check_capture_time
from ..policies.jpeg import JpegWalk
from ..ports.clock import Clock
from ..ports.offered_tile import OfferedTile
from ..ports.picture_decoder import DecodedPicture, PictureDecoder
from ..ports.tile_store import TileWriteOutcome
from ..store.write_batches import IN_FLIGHT, overlapped
from ..values.disk_usage import footprint
from ..values.eviction_tally import EvictionTally
from ..values.pixels import TilePixelHandle
from ..values.tiles import TileId, TileMetadata, TileSource
from ..values.timestamps import microseconds_of, timestamp_of
from .gates import IntakeTerms, check_decoded, read_offered_tile
from .report import IntakeReport

_Decode: TypeAlias = Callable[[Sequence[bytes]], list[DecodedPicture]]
_FATAL = (CacheBudgetExhaustedError, StoreUnavailableError)


class IntakeStore(Protocol):
    """The calls to the tile store that an intake makes; from several threads."""

    def tile_exists(self, tile_id: TileId) -> bool: ...

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle: ...

    def write_tiles(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[TileWriteOutcome]: ...

    def captured_us(self, tile_id: TileId) -> int | None: ...


@attrs.define
class _Batch:
    """Tiles that are written together, and how they ended."""

    present: list[TileId] = attrs.field(factory=list)
    blank: int = 0
    read: list[tuple[OfferedTile, bytes, TileMetadata]] = attrs.field(factory=list)
    """Tiles that passed the gates of their place, size and markers."""
    refused: list[tuple[OfferedTile, Exception]] = attrs.field(factory=list)
    written: list[tuple[OfferedTile, bytes, TileMetadata]] = attrs.field(factory=list)
    outcomes: list[TileWriteOutcome] = attrs.field(factory=list)
    """One for each of `written`, unless there is an `error`."""
    error: AerotileError | None = None

    @property
    def fatal(self) -> AerotileError | None:
        """The error that every later batch would meet as well."""
        errors = (outcome.error for outcome in self.outcomes)
        return self.error or next((error for error in errors if isinstance(error, _FATAL)), None)


@attrs.frozen(kw_only=True)
class TileIntake:
    """Brings offered tiles into a store within its disk budget.

    The flight record holds what the store records of each write: refusals by the freshness gate, downgrades,
    evictions.
    """

    store: IntakeStore
    footprint_bytes: Callable[[], int]
    """What all committed tiles take on the disk. Raises `StoreUnavailableError`."""
    budget_bytes: int
    tile_size_pixels: int
    clock: Clock
    walk_jpeg: Callable[[bytes], JpegWalk]
    decoder: PictureDecoder
    decoding_threads: int = 1
    tally_evictions: Callable[[], AbstractContextManager[EvictionTally]] = lambda: nullcontext(
        EvictionTally()
    )
    """Counts what the store evicts while the context is open; default for a store that evicts nothing."""
    parallel: int = IN_FLIGHT
    """How many batches are under way at a time while the budget has room for all tiles."""

    def take_in(
        self,
        tiles: Sequence[OfferedTile],
        *,
        source: TileSource,
        captured_at: datetime,
        batch_size: int = 256,
        decode: bool = True,
        progress: Callable[[int, int], None] = lambda done, total: None,
        before_evictions: Callable[[int, int], None] = lambda needed_bytes, free_bytes: None,
        report: IntakeReport | None = None,
    ) -> IntakeReport:
        """Take in the tiles, `batch_size` at a time; each passes every gate on its own.

        A tile that the store holds with the same bytes counts as present, so an interrupted run is simply
        repeated. Stored tiles are durable when their batch has ended. `progress(done, total)` is called after
        each batch, `before_evictions` once before the first when tiles will be evicted to make room.
        Each tile is decoded once, because no walk over its markers finds a picture that ends too early.
        Without `decode` such pictures are stored, and how many tiles are of one colour is not known.
        An error that every tile would meet ends the run: the report has it as `stopped_by`.
        Tiles that come in parts share a `report`, whose caller counts the evictions.
        Raises `CaptureTimeInFutureError` before the first tile is read, `StoreUnavailableError` likewise.
        """
        check_capture_time(captured_at, self.clock.now())
        terms = IntakeTerms(source=source, captured_at=captured_at, tile_size_pixels=self.tile_size_pixels)
        free_bytes = self.budget_bytes - self.footprint_bytes()
        has_room = sum(footprint(tile.size) for tile in tiles) <= free_bytes
        if not has_room:
            needed_bytes = sum(footprint(tile.size) for tile in tiles if not self._is_known(tile, source))
            if needed_bytes > max(0, free_bytes):
                before_evictions(needed_bytes, max(0, free_bytes))
        stopping = threading.Event()

        def take(batch: Sequence[OfferedTile]) -> _Batch:
            """In one of several threads."""
            if stopping.is_set():
                return _Batch()
            ended = self._take(batch, terms, decoding)
            if ended.fatal is not None:
                stopping.set()
            return ended

        batches = [tiles[i : i + batch_size] for i in range(0, len(tiles), batch_size)]
        with self._decoding(decode) as decoding, self.tally_evictions() as evicted:
            if report is None:
                report = IntakeReport(blank=0 if decode else None, evicted=evicted)
            # A batch that needs room can't evict tiles of another one that is not committed yet.
            for ended in overlapped(take, batches, at_once=self.parallel if has_room else 1):
                self._add(ended, report, source)
                progress(report.done, len(tiles))
        return report

    @contextmanager
    def _decoding(self, decode: bool) -> Iterator[_Decode]:
        """A call that decodes many pictures on all threads; one that decodes none without `decode`."""
        if not decode:
            yield lambda pictures: [DecodedPicture()] * len(pictures)
            return
        with ThreadPoolExecutor(self.decoding_threads, thread_name_prefix="aerotile-decode") as pool:
            yield lambda pictures: list(pool.map(self.decoder.decode, pictures))

    def _is_known(self, tile: OfferedTile, source: TileSource) -> bool:
        try:
            return self.store.tile_exists(TileId(tile.zoom_level, tile.x, tile.y, source))
        except ValueError:  # off the grid: it will be refused, and needs no room
            return True

    def _take(self, tiles: Sequence[OfferedTile], terms: IntakeTerms, decode: _Decode) -> _Batch:
        """Read and decode the tiles, and write those that the store lacks."""
        batch = _Batch()
        for tile in tiles:
            try:
                batch.read.append((tile, *read_offered_tile(tile, terms, self.walk_jpeg)))
            except (ValueError, OSError, TileCacheError) as error:
                batch.refused.append((tile, error))
        decoded = decode([pixels for _, pixels, _ in batch.read])
        for (tile, pixels, metadata), picture in zip(batch.read, decoded, strict=True):
            batch.blank += picture.is_blank
            try:
                check_decoded(picture, metadata.tile_id)
                if self._is_present(pixels, metadata):
                    batch.present.append(metadata.tile_id)
                else:
                    batch.written.append((tile, pixels, metadata))
            except TileCacheError as error:
                batch.refused.append((tile, error))
        try:
            batch.outcomes = self.store.write_tiles([(pixels, facts) for _, pixels, facts in batch.written])
        except AerotileError as error:
            batch.error = error
        return batch

    def _is_present(self, pixels: bytes, metadata: TileMetadata) -> bool:
        """Whether the store holds these bytes of this date.

        Raises `TileMetadataError` when it holds other bytes, `CaptureTimeConflictError` under another date.

        Bytes that differ from the claimed SHA-256 count as absent: the store's hash gate refuses them.
        """
        tile_id = metadata.tile_id
        if not self.store.tile_exists(tile_id):
            return False
        if hashlib.sha256(pixels).hexdigest() != metadata.content_sha256:
            return False
        try:
            with self.store.read_tile_pixels(tile_id) as stored:
                same = bytes(memoryview(stored)) == pixels
        except TileNotFoundError:  # evicted or deleted meanwhile
            return False
        if not same:
            raise TileMetadataError("the store already holds this tile with other content", tile_id=tile_id)
        captured_us = self.store.captured_us(tile_id)
        if captured_us is not None and captured_us != microseconds_of(metadata.captured_at):
            raise CaptureTimeConflictError(tile_id, timestamp_of(captured_us), metadata.captured_at)
        return True

    def _add(self, batch: _Batch, report: IntakeReport, source: TileSource) -> None:
        """Add a batch that has ended to the report."""
        for tile_id in batch.present:
            report.add_present(tile_id)
        if report.blank is not None:
            report.blank += batch.blank
        for tile, _, metadata in batch.read:
            report.repeats.add(metadata.content_sha256, tile)
        for refused, error in batch.refused:
            report.add_refused(refused, error, source)
        for (tile, pixels, metadata), outcome in zip(batch.written, batch.outcomes, strict=False):
            if outcome.stored is not None:
                report.add_stored(outcome.stored)
            elif isinstance(outcome.error, DuplicateTileError):
                self._add_duplicate(tile, pixels, metadata, report)
            elif outcome.error is not None and not isinstance(outcome.error, _FATAL):
                report.add_refused(tile, outcome.error, source)
        report.stopped_by = batch.fatal or report.stopped_by

    def _add_duplicate(
        self, tile: OfferedTile, pixels: bytes, metadata: TileMetadata, report: IntakeReport
    ) -> None:
        """The row existed though the tile did not: another writer was faster, or the file is gone."""
        tile_id = metadata.tile_id
        try:
            if self._is_present(pixels, metadata):
                report.add_present(tile_id)
                return
        except TileCacheError as error:
            report.add_refused(tile, error, tile_id.source)
            return
        gone = TileMetadataError(
            "its row is there, its file is missing",
            tile_id=tile_id,
            remedy=f"aerotile delete {tile_id}, then ingest again",
        )
        report.add_refused(tile, gone, tile_id.source)
