"""`TileIntake`: read offered tiles, pass every gate, write in batches, report how each tile ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import TypeAlias

import attrs

from ..errors import (
    AerotileError,
    CacheBudgetExhaustedError,
    CaptureTimeConflictError,
    ContestedPlaceError,
    DatasetUndatedError,
    DuplicateTileError,
    OtherImageryError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
)
from ..policies.freshness import check_capture_time
from ..policies.jpeg import JpegWalk
from ..ports.clock import Clock
from ..ports.dataset_store import DatasetStore
from ..ports.offered_tile import OfferedTile
from ..ports.picture_decoder import DecodedPicture, PictureDecoder
from ..ports.tile_store import ReplacedTile, TileWriteOutcome
from ..store.write_batches import IN_FLIGHT, overlapped
from ..values.disk_usage import footprint
from ..values.eviction_tally import EvictionTally
from ..values.tiles import TileId, TileMetadata
from .admit_dataset import admit_dataset
from .compare_stored import IntakeStore, OnContest, holders_of, is_present
from .gates import check_decoded, read_offered_tile
from .report import IntakeReport
from .terms import CaptureTimes, IntakeTerms

_Decode: TypeAlias = Callable[[Sequence[bytes]], list[DecodedPicture]]
_FATAL = (CacheBudgetExhaustedError, StoreUnavailableError)


@attrs.define
class _Batch:
    """Tiles that are written together, and how they ended."""

    present: list[TileId] = attrs.field(factory=list)
    blank: int = 0
    read: list[tuple[OfferedTile, bytes, TileMetadata]] = attrs.field(factory=list)
    """Tiles that passed the gates of their place, size and markers."""
    refused: list[tuple[OfferedTile, Exception]] = attrs.field(factory=list)
    replaced: list[ReplacedTile] = attrs.field(factory=list)
    undated: list[OfferedTile] = attrs.field(factory=list)
    contested: list[tuple[OfferedTile, ContestedPlaceError]] = attrs.field(factory=list)
    present_without_dataset: int = 0
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
    datasets: DatasetStore
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
        terms: IntakeTerms,
        *,
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

        A tile that has no date by `terms` is left out unread. The permission of the dataset named there, and
        its digest where `terms.source_digest` is taken over the same, are checked first. A tile whose place
        another dataset holds is not stored; `terms.on_contest` says whether that is a success. With
        `OnContest.REPLACE` newer imagery takes that place, and the place of any other stored imagery, tile by
        tile (`SupportsLocalWrites.replace_tile`).

        Raises before the first tile is read: `UnknownDatasetError`, `DatasetNotStorableError`,
        `DatasetSourceChangedError`, `DatasetUndatedError`, `CaptureTimeInFutureError`,
        `StoreUnavailableError`; `ValueError` where neither a date nor a dataset is named.
        """
        times = self._capture_times(terms)
        has_room = self._has_room(tiles, times, terms, before_evictions)
        stopping = threading.Event()

        def take(batch: Sequence[OfferedTile]) -> _Batch:
            """In one of several threads."""
            if stopping.is_set():
                return _Batch()
            ended = self._take(batch, times, terms, decoding)
            if ended.fatal is not None:
                stopping.set()
            return ended

        batches = [tiles[i : i + batch_size] for i in range(0, len(tiles), batch_size)]
        with self._decoding(decode) as decoding, self.tally_evictions() as evicted:
            if report is None:
                report = IntakeReport(blank=0 if decode else None, evicted=evicted)
            # A batch that needs room can't evict tiles of another one that is not committed yet.
            for ended in overlapped(take, batches, at_once=self.parallel if has_room else 1):
                self._add(ended, report, terms)
                progress(report.done, len(tiles))
        return report

    def _capture_times(self, terms: IntakeTerms) -> CaptureTimes:
        """The date of each tile, after a check of the dataset and of a date for all."""
        captured_at = terms.captured_at
        if terms.dataset is not None:
            dataset = admit_dataset(self.datasets, terms.dataset, terms.source_digest)
            captured_at = dataset.captured_at if captured_at is None else captured_at
            if captured_at is None:
                raise DatasetUndatedError(terms.dataset)
        if captured_at is None:
            raise ValueError("captured_at must be given where no dataset is named")
        if not isinstance(captured_at, datetime):
            return captured_at
        check_capture_time(captured_at, self.clock.now())
        return _constant(captured_at)

    def _has_room(
        self,
        tiles: Sequence[OfferedTile],
        times: CaptureTimes,
        terms: IntakeTerms,
        before_evictions: Callable[[int, int], None],
    ) -> bool:
        """Whether the budget has room for all tiles; `before_evictions` is called where some will go."""
        free_bytes = self.budget_bytes - self.footprint_bytes()
        if sum(footprint(tile.size) for tile in tiles) <= free_bytes:
            return True
        dated = (tile for tile in tiles if times(tile) is not None)
        needed_bytes = sum(self._needed_bytes(tile, terms) for tile in dated)
        if needed_bytes > max(0, free_bytes):
            before_evictions(needed_bytes, max(0, free_bytes))
        return False

    @contextmanager
    def _decoding(self, decode: bool) -> Iterator[_Decode]:
        """A call that decodes many pictures on all threads; one that decodes none without `decode`."""
        if not decode:
            yield lambda pictures: [DecodedPicture()] * len(pictures)
            return
        with ThreadPoolExecutor(self.decoding_threads, thread_name_prefix="aerotile-decode") as pool:
            yield lambda pictures: list(pool.map(self.decoder.decode, pictures))

    def _needed_bytes(self, tile: OfferedTile, terms: IntakeTerms) -> int:
        """The room that a tile needs; one that the store holds needs none, or what its replacement adds."""
        needed = footprint(tile.size)
        try:
            tile_id = TileId(tile.zoom_level, tile.x, tile.y, terms.source)
            if not self.store.tile_exists(tile_id):
                return needed
            if terms.on_contest.replaces and not self.store.is_sealed(tile_id):
                with self.store.read_tile_pixels(tile_id) as stored:
                    return max(0, needed - footprint(stored.nbytes))
        except (ValueError, TileCacheError):  # off the grid or unreadable: it will be refused
            pass
        return 0

    def _take(
        self,
        tiles: Sequence[OfferedTile],
        times: CaptureTimes,
        terms: IntakeTerms,
        decode: _Decode,
    ) -> _Batch:
        """Read and decode the tiles, and write those that the store lacks."""
        batch = _Batch()
        for tile in tiles:
            captured_at = times(tile)
            if captured_at is None:
                batch.undated.append(tile)
                continue
            try:
                batch.read.append((tile, *self._read(tile, captured_at, terms)))
            except (ValueError, OSError, TileCacheError) as error:
                batch.refused.append((tile, error))
        try:
            holders = holders_of(self.store, (metadata for _, _, metadata in batch.read))
        except AerotileError as error:
            batch.error = error
            return batch
        decoded = decode([pixels for _, pixels, _ in batch.read])
        for (tile, pixels, metadata), picture in zip(batch.read, decoded, strict=True):
            batch.blank += picture.is_blank
            try:
                check_decoded(picture, metadata.tile_id)
                if is_present(self.store, pixels, metadata, holders):
                    batch.present.append(metadata.tile_id)
                    batch.present_without_dataset += holders.get(metadata.tile_id, "") is None
                else:
                    batch.written.append((tile, pixels, metadata))
            except (OtherImageryError, ContestedPlaceError) as error:
                if terms.on_contest.replaces:
                    if not self._replace(batch, tile, pixels, metadata, error):
                        return batch
                elif isinstance(error, ContestedPlaceError):
                    batch.contested.append((tile, error))
                else:
                    batch.refused.append((tile, error))
            except CaptureTimeConflictError as error:
                if terms.on_contest is OnContest.REFRESH:
                    batch.present.append(metadata.tile_id)
                else:
                    batch.refused.append((tile, error))
            except TileCacheError as error:
                batch.refused.append((tile, error))
        try:
            batch.outcomes = self.store.write_tiles([(pixels, facts) for _, pixels, facts in batch.written])
        except AerotileError as error:
            batch.error = error
        return batch

    def _read(
        self, tile: OfferedTile, captured_at: datetime, terms: IntakeTerms
    ) -> tuple[bytes, TileMetadata]:
        return read_offered_tile(
            tile,
            captured_at,
            terms,
            tile_size_pixels=self.tile_size_pixels,
            walk_jpeg=self.walk_jpeg,
        )

    def _replace(
        self,
        batch: _Batch,
        tile: OfferedTile,
        pixels: bytes,
        metadata: TileMetadata,
        conflict: OtherImageryError | ContestedPlaceError,
    ) -> bool:
        """Replace a stored tile; False where every later tile would meet the same error."""
        try:
            batch.replaced.append(self.store.replace_tile(pixels, metadata))
        except _FATAL as error:
            batch.error = error
            return False
        except TileCacheError as error:
            if isinstance(error, DuplicateTileError) and isinstance(conflict, ContestedPlaceError):
                batch.contested.append((tile, conflict))  # the other dataset has the same bytes
            else:
                batch.refused.append((tile, error))
        return True

    def _add(self, batch: _Batch, report: IntakeReport, terms: IntakeTerms) -> None:
        """Add a batch that has ended to the report."""
        for tile_id in batch.present:
            report.add_present(tile_id)
        report.present_without_dataset += batch.present_without_dataset
        for undated in batch.undated:
            report.add_undated(undated)
        if report.blank is not None:
            report.blank += batch.blank
        for tile, _, metadata in batch.read:
            report.repeats.add(metadata.content_sha256, tile)
        for replaced in batch.replaced:
            report.add_replaced(replaced)
        for refused, error in batch.refused:
            report.add_refused(refused, error, terms.source)
        for (tile, pixels, metadata), outcome in zip(batch.written, batch.outcomes, strict=False):
            if outcome.stored is not None:
                report.add_stored(outcome.stored)
            elif isinstance(outcome.error, DuplicateTileError):
                self._add_duplicate(batch, tile, pixels, metadata, report)
            elif outcome.error is not None and not isinstance(outcome.error, _FATAL):
                report.add_refused(tile, outcome.error, terms.source)
        for contested, conflict in batch.contested:
            if terms.on_contest is OnContest.KEEP:
                report.kept += 1
            else:
                report.add_contested(contested, conflict)
        report.stopped_by = batch.fatal or report.stopped_by

    def _add_duplicate(
        self,
        batch: _Batch,
        tile: OfferedTile,
        pixels: bytes,
        metadata: TileMetadata,
        report: IntakeReport,
    ) -> None:
        """The row existed though the tile did not: another writer was faster, or the file is gone."""
        tile_id = metadata.tile_id
        try:
            if is_present(self.store, pixels, metadata, {}):
                report.add_present(tile_id)
                return
        except ContestedPlaceError as conflict:
            batch.contested.append((tile, conflict))
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


def _constant(captured_at: datetime) -> CaptureTimes:
    return lambda tile: captured_at
