"""Writing tiles: the six steps of one write, and of a batch.

    1. hash gate        the bytes are the promised JPEG, checked before any I/O
    2. freshness gate   they are not too old for where they lie
    3. disk budget      there is room, or room is made
    4. INSERT           in a transaction that stays open; a duplicate stops here
    5. files            file and sidecar, durable and in place
                        (bytes may be written during step 4: of a single tile under no name, of a batch
                        under temporary ones)
    6. COMMIT           the row; now the tile exists

A failure at any step leaves the world as it was before the first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import attrs

from ..errors import CacheBudgetExhaustedError, CommitOutcomeUnknownError, DuplicateTileError, TileCacheError
from ..flight_events import WriteStep, write_event, write_failed_event
from ..ports.flight_recorder import FlightRecorder
from ..ports.headroom import Headroom
from ..ports.tile_files import StagedTile, TileFiles
from ..ports.tile_rows import OpenRows, TileRows
from ..ports.tile_store import TileWriteOutcome
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent
from .freshness_gate import FreshnessGate


@attrs.frozen
class TileWriter:
    """The write path over the two halves of a store."""

    rows: TileRows
    files: TileFiles
    gate: FreshnessGate
    stamp: Callable[[], datetime]
    """When a tile is stored: the time, and behind everything that was stored or read before."""
    recorder: FlightRecorder
    is_known: Callable[[TileId], bool] = lambda tile_id: False
    """Whether a tile is stored already, by what this process knows: not worth writing before the rows are."""
    when_committed: Callable[[Collection[TileMetadataPersistent]], object] = lambda rows: None
    """Is given the rows as soon as they are committed, while their room is still reserved."""

    def write(self, pixels: bytes, metadata: TileMetadata, headroom: Headroom) -> TileMetadataPersistent:
        """Write one tile; raises what `TileStore.write_tile` raises."""
        step = WriteStep.HASH_GATE
        try:
            staged = self.files.stage(pixels, metadata)
            step = WriteStep.FRESHNESS_GATE
            admitted = self.gate.admit(metadata)
            step = WriteStep.DISK_BUDGET
            with headroom.reserve_headroom(admitted.disk_bytes):
                step = WriteStep.INSERT
                with self.rows.insert(admitted, self.stamp(), meanwhile=staged.prewrite) as row:
                    step = WriteStep.FILES
                    staged.place()
                    step = WriteStep.COMMIT
                    with _withdrawn_on_failure([staged]):
                        stored = row.commit()
                    self.when_committed([stored])
        except Exception as error:
            if step is WriteStep.INSERT:
                staged.withdraw()
            self.recorder.record(write_failed_event(metadata.tile_id, step, error))
            raise
        self.recorder.record(write_event(stored))
        return stored

    def write_batch(
        self, tiles: Sequence[tuple[bytes, TileMetadata]], headroom: Headroom
    ) -> list[TileWriteOutcome]:
        """Write a batch with one commit; raises what `SupportsBulkWrite.write_tiles` raises."""
        batch = _Batch(self.recorder, [metadata.tile_id for _, metadata in tiles])
        for place, staged in enumerate(self.files.stage_many(tiles)):
            if isinstance(staged, TileCacheError):
                batch.refuse(place, WriteStep.HASH_GATE, staged)
            else:
                self._pass_freshness_gate(batch, place, staged, tiles[place][1])
        self._write_admitted(batch, batch.admitted(), headroom)
        return batch.outcomes()

    def _pass_freshness_gate(
        self, batch: _Batch, place: int, staged: StagedTile, metadata: TileMetadata
    ) -> None:
        try:
            batch.admit(place, staged, self.gate.admit(metadata))
        except TileCacheError as error:
            batch.refuse(place, WriteStep.FRESHNESS_GATE, error)

    def _write_admitted(self, batch: _Batch, admitted: list[_Admitted], headroom: Headroom) -> None:
        if not admitted:
            return
        try:
            with headroom.reserve_headroom(sum(tile.metadata.disk_bytes for tile in admitted)):
                self._commit_admitted(batch, admitted)
        except CacheBudgetExhaustedError as error:
            if len(admitted) == 1:
                batch.refuse(admitted[0].place, WriteStep.DISK_BUDGET, error)
                return
            # No room for all of them: as many as fit still go in, found by halving.
            middle = len(admitted) // 2
            self._write_admitted(batch, admitted[:middle], headroom)
            self._write_admitted(batch, admitted[middle:], headroom)

    def _commit_admitted(self, batch: _Batch, admitted: list[_Admitted]) -> None:
        step = WriteStep.INSERT
        likely_new = [tile.staged for tile in admitted if not self.is_known(tile.metadata.tile_id)]
        try:
            with (
                self.files.prewriting(likely_new) as prewrite,
                self.rows.insert_many(
                    [tile.metadata for tile in admitted], self.stamp(), meanwhile=prewrite
                ) as rows,
            ):
                step = WriteStep.FILES
                placed = self._place_new(batch, admitted, rows)
                step = WriteStep.COMMIT
                with _withdrawn_on_failure([tile.staged for tile in placed]):
                    stored = rows.commit()
                self.when_committed(stored.values())
        except CacheBudgetExhaustedError:
            raise
        except Exception as error:
            for tile in admitted:
                self.recorder.record(write_failed_event(tile.metadata.tile_id, step, error))
            raise
        for tile in placed:
            batch.store(tile.place, stored[tile.metadata.tile_id])

    def _place_new(self, batch: _Batch, admitted: list[_Admitted], rows: OpenRows) -> list[_Admitted]:
        """Place the files of all tiles that were not there yet, and return those that could be placed."""
        new: list[_Admitted] = []
        for tile in admitted:
            if tile.metadata.tile_id in rows.duplicates:
                batch.refuse(tile.place, WriteStep.INSERT, DuplicateTileError(tile.metadata.tile_id))
            else:
                new.append(tile)
        failures = self.files.place_many([tile.staged for tile in new])
        placed = []
        for tile, failure in zip(new, failures, strict=True):
            if failure is None:
                placed.append(tile)
            else:
                batch.refuse(tile.place, WriteStep.FILES, failure)
        rows.discard([t.metadata.tile_id for t, f in zip(new, failures, strict=True) if f is not None])
        return placed


@contextmanager
def _withdrawn_on_failure(staged: Sequence[StagedTile]) -> Iterator[None]:
    """Take placed files back when the commit failed; not when it may have succeeded after all."""
    try:
        yield
    except CommitOutcomeUnknownError:
        raise
    except Exception:
        for tile in staged:
            tile.withdraw()
        raise


@attrs.frozen
class _Admitted:
    """A tile of a batch that passed both gates; `place` is its position in the batch."""

    place: int
    staged: StagedTile
    metadata: TileMetadata


class _Batch:
    """The tiles of one batch on their way, and how each ended. A tile named twice is admitted once."""

    def __init__(self, recorder: FlightRecorder, tile_ids: Sequence[TileId]) -> None:
        self._recorder = recorder
        self._tile_ids = tile_ids
        self._admitted: dict[TileId, _Admitted] = {}
        self._outcomes: dict[int, TileWriteOutcome] = {}

    def admit(self, place: int, staged: StagedTile, metadata: TileMetadata) -> None:
        if metadata.tile_id in self._admitted:
            self.refuse(place, WriteStep.INSERT, DuplicateTileError(metadata.tile_id))
        else:
            self._admitted[metadata.tile_id] = _Admitted(place, staged, metadata)

    def admitted(self) -> list[_Admitted]:
        return list(self._admitted.values())

    def refuse(self, place: int, step: WriteStep, error: TileCacheError) -> None:
        tile_id = self._tile_ids[place]
        self._outcomes[place] = TileWriteOutcome(tile_id, error=error)
        self._recorder.record(write_failed_event(tile_id, step, error))

    def store(self, place: int, stored: TileMetadataPersistent) -> None:
        self._outcomes[place] = TileWriteOutcome(self._tile_ids[place], stored=stored)
        self._recorder.record(write_event(stored))

    def outcomes(self) -> list[TileWriteOutcome]:
        return [self._outcomes[place] for place in range(len(self._tile_ids))]
