"""Writing a batch: the six steps of `write_tile`, with one commit for all tiles that pass the gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress

import attrs

from ..errors import (
    CacheBudgetExhaustedError,
    DuplicateTileError,
    HeadroomTakenError,
    TileCacheError,
    TileMetadataError,
    TileRecalledError,
)
from ..flight_events import FlightEvent, WriteStep
from ..make_events import write_event, write_failed_event
from ..ports.flight_recorder import FlightRecorder
from ..ports.tile_files import StagedTile
from ..ports.tile_rows import OpenRows
from ..ports.tile_store import TileWriteOutcome
from ..values.disk_usage import DiskUsage
from ..values.pixels import TileBytes, as_bytes
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent
from ..values.validators import check_kind, taken
from .tile_store_parts import TileStoreParts
from .write_tile import MAX_LOST_RACES, WithdrawOnFailure, duplicate_of


def write_batch(parts: TileStoreParts, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[TileWriteOutcome]:
    """Write a batch; outcome i is tile i's. Raises what `SupportsLocalWrites.write_tiles` raises."""
    return _BatchWrite(parts, [metadata.tile_id for _, metadata in tiles]).run(tiles)


def checked_batch(tiles: Iterable[tuple[TileBytes, TileMetadata]]) -> list[tuple[bytes, TileMetadata]]:
    """All tiles of a batch, the pixels as `bytes`. Raises `TypeError` that names a wrong one by its place."""
    batch = []
    for place, tile in enumerate(taken(tiles, "tiles", "pairs of pixels and metadata")):
        if not isinstance(tile, (tuple, list)) or len(tile) != 2:
            raise TypeError(
                f"tiles[{place}] must be a pair of pixels and metadata, got {type(tile).__name__}"
            )
        pixels, metadata = tile
        try:
            jpeg = as_bytes(pixels)
            check_kind(metadata, TileMetadata, "metadata")
        except TypeError as error:
            raise TypeError(f"tiles[{place}]: {error}") from error
        except ValueError as error:
            raise ValueError(f"tiles[{place}]: {error}") from error
        batch.append((jpeg, metadata))
    return batch


@attrs.frozen
class _Admitted:
    """A tile of a batch that passed both gates."""

    position: int
    """In the batch."""
    staged: StagedTile
    metadata: TileMetadata


class _BatchWrite:
    """One batch under way: the outcomes so far, each recorded when it is known."""

    def __init__(self, parts: TileStoreParts, tile_ids: Sequence[TileId]) -> None:
        self._parts = parts
        self._recorder: FlightRecorder = parts.recorder
        self._tile_ids = tile_ids
        self._outcomes: dict[int, TileWriteOutcome] = {}
        parts.recalls.look()
        self._now = parts.clock.now()

    def run(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[TileWriteOutcome]:
        """All six steps."""
        self._store(self._pass_gates(tiles))
        return [self._outcomes[position] for position in range(len(tiles))]

    def _pass_gates(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[_Admitted]:
        """Steps 1 and 2. A tile that the batch names twice is admitted once."""
        admitted: dict[TileId, _Admitted] = {}
        for position, staged in enumerate(self._parts.files.stage_many(tiles)):
            if isinstance(staged, TileCacheError):
                self._refuse(position, WriteStep.HASH_GATE, staged)
                continue
            try:
                self._parts.recalls.check_new(tiles[position][1])
            except TileRecalledError as error:
                self._refuse(position, WriteStep.RECALL, error)
                continue
            try:
                metadata = self._parts.gate.admit(tiles[position][1], self._now)
            except TileCacheError as error:
                self._refuse(position, WriteStep.FRESHNESS_GATE, error)
                continue
            try:
                if metadata.tile_id in admitted:
                    raise DuplicateTileError(metadata.tile_id)
                self._parts.sync.flight_limit.claim(metadata.tile_id)
            except TileMetadataError as error:
                self._refuse(position, WriteStep.INSERT, error)
            else:
                admitted[metadata.tile_id] = _Admitted(position, staged, metadata)
        return list(admitted.values())

    def _store(self, admitted: list[_Admitted], lost_races: int = 0) -> None:
        """Steps 3 to 6, again after a lost race for room; of a batch without room, as many as fit."""
        admitted = [tile for tile in admitted if tile.position not in self._outcomes]
        if not admitted:
            return
        try:
            self._store_together(admitted, lost_races)
        except CacheBudgetExhaustedError as error:
            if isinstance(error, HeadroomTakenError) and lost_races < MAX_LOST_RACES:
                self._store(admitted, lost_races + 1)
            elif len(admitted) == 1:
                self._refuse(admitted[0].position, WriteStep.DISK_BUDGET, error)
            else:
                middle = len(admitted) // 2
                self._store(admitted[:middle], lost_races)
                self._store(admitted[middle:], lost_races)

    def _store_together(self, admitted: list[_Admitted], lost_races: int) -> None:
        parts = self._parts
        step = WriteStep.INSERT
        try:
            admitted = self._without_known(admitted)
            if not admitted:
                return
            step = WriteStep.DISK_BUDGET
            with ExitStack() as reserved:
                needed = DiskUsage.of(tile.metadata for tile in admitted)
                of_onboard = needed.onboard_footprint_bytes
                for onboard, part in ((False, needed.footprint_bytes - of_onboard), (True, of_onboard)):
                    if part:
                        reserved.enter_context(
                            parts.headroom.reserve_headroom(part, lost_races, onboard=onboard)
                        )
                step = WriteStep.INSERT
                created_at = parts.clock_guard.stamp(reading=self._now)
                with (
                    parts.rows.insert_many([tile.metadata for tile in admitted], created_at) as rows,
                    WithdrawOnFailure(parts.files, [tile.staged for tile in admitted]) as written,
                ):
                    with parts.files.prewriting(list(self._unknown(admitted))):
                        duplicates = rows.finish_insert()
                        step = WriteStep.FILES
                        new = [tile for tile in admitted if tile.metadata.tile_id not in duplicates]
                        # Made while other threads write the files, and handed out after the COMMIT.
                        inserted = rows.inserted
                        made = {tile.position: _stored(inserted[tile.metadata.tile_id]) for tile in new}
                        placed = self._place(new, rows)
                    step = WriteStep.COMMIT
                    stored = written.commit(rows.commit)
                for row in stored.values():
                    parts.sync.add(row)
        except CacheBudgetExhaustedError:
            raise
        except Exception as error:
            for tile in admitted:
                if tile.position not in self._outcomes:
                    self._recorder.record(write_failed_event(tile.metadata.tile_id, step, error))
            raise
        self._refuse_duplicates([tile for tile in admitted if tile.metadata.tile_id in duplicates])
        for tile in placed:
            self._outcomes[tile.position], event = made[tile.position]
            self._recorder.record(event)

    def _without_known(self, admitted: list[_Admitted]) -> list[_Admitted]:
        """Refuse duplicates that the catalogue knows and the database confirms: they reserve no room."""
        known = [t.metadata.tile_id for t in admitted if t.metadata.tile_id in self._parts.sync.catalogue]
        if not known:
            return admitted
        committed = self._parts.rows.committed_among(known)
        self._refuse_duplicates([t for t in admitted if t.metadata.tile_id in committed], committed)
        return [tile for tile in admitted if tile.metadata.tile_id not in committed]

    def _unknown(self, admitted: Iterable[_Admitted]) -> Iterable[StagedTile]:
        """The tiles that the catalogue does not know; only they may be prewritten."""
        catalogue = self._parts.sync.catalogue
        return (tile.staged for tile in admitted if tile.metadata.tile_id not in catalogue)

    def _refuse_duplicates(
        self,
        duplicates: Sequence[_Admitted],
        committed: Mapping[TileId, TileMetadataPersistent] | None = None,
    ) -> None:
        """Refuse duplicates, each for its reason; their rows are read unless they are given."""
        if committed is None and duplicates:
            with suppress(TileCacheError):  # the rest of the batch is committed: a vaguer reason must do
                committed = self._parts.rows.committed_among([tile.metadata.tile_id for tile in duplicates])
        for tile in duplicates:
            known = (committed or {}).get(tile.metadata.tile_id)
            self._refuse(tile.position, WriteStep.INSERT, duplicate_of(tile.metadata, known))

    def _place(self, new: list[_Admitted], rows: OpenRows) -> list[_Admitted]:
        """Place the files, discard the rows of those that fail, and return the others."""
        placed, failed = [], []
        failures = self._parts.files.place_many([tile.staged for tile in new])
        for tile, failure in zip(new, failures, strict=True):
            if failure is None:
                placed.append(tile)
            else:
                self._refuse(tile.position, WriteStep.FILES, failure)
                failed.append(tile.metadata.tile_id)
        rows.discard(failed)
        return placed

    def _refuse(self, position: int, step: WriteStep, error: TileCacheError) -> None:
        tile_id = self._tile_ids[position]
        self._outcomes[position] = TileWriteOutcome(tile_id, error=error)
        self._recorder.record(write_failed_event(tile_id, step, error))


def _stored(row: TileMetadataPersistent) -> tuple[TileWriteOutcome, FlightEvent]:
    """The outcome of a tile whose row is inserted, and its event; both are true once the row is committed."""
    return TileWriteOutcome(row.tile_id, stored=row), write_event(row)
