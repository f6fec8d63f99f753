"""Replacing a tile's imagery by newer imagery, in seven steps:

    1. hash gate        as a write's
    2. the row          the tile is stored, the new imagery is newer, and it is other bytes
    3. freshness gate   as a write's
    4. disk budget      the difference of the footprints is reserved; the tile itself is not evicted for it
    5. file             the row is locked and checked once more; the file is durable under a second name,
                        which carries its digest, and the old file stays under the tile's name
    6. COMMIT           of the row; from here on the tile is the new one
    7. settling         the new file gets the tile's name, then its sidecar (`settle_replacement`)

A failure before step 6 leaves the old tile as it was. After a crash behind step 6, the row names the digest
of the second name: the next open, or a process that learns of the new row, does step 7. Readers find the old
file under the tile's name until then, and have its facts.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

import attrs

from ..errors import (
    CommitOutcomeUnknownError,
    HeadroomTakenError,
    NotNewerError,
    StoreUnavailableError,
    TileMetadataError,
    TileNotFoundError,
)
from ..flight_events import WriteStep
from ..make_events import replaced_event, write_failed_event
from ..ports.tile_files import StagedTile
from ..ports.tile_store import ReplacedTile
from ..values.disk_usage import footprint
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource
from .tile_store_parts import TileStoreParts
from .write_tile import MAX_LOST_RACES, WithdrawOnFailure, duplicate_of


def replace_tile(parts: TileStoreParts, pixels: bytes, metadata: TileMetadata) -> ReplacedTile:
    """Replace one tile; raises what `SupportsLocalWrites.replace_tile` raises."""
    return _Replacement(parts, metadata.tile_id).run(pixels, metadata)


def check_replacement(before: TileMetadataPersistent, metadata: TileMetadata) -> None:
    """Raise `TileMetadataError` unless `metadata` may replace the stored tile.

    An onboard tile is what one flight saw, and the provider may hold it: it is never replaced.
    """
    tile_id = metadata.tile_id
    if tile_id.source is TileSource.ONBOARD:
        raise TileMetadataError(
            f"tile {tile_id} was made on board, and such a tile is never replaced",
            tile_id=tile_id,
            remedy="write it as a tile of the flight that made it",
        )
    if before.content_sha256 == metadata.content_sha256:
        raise duplicate_of(metadata, before)
    if metadata.captured_at <= before.captured_at:
        raise NotNewerError(tile_id, before.captured_at, metadata.captured_at)


@attrs.define
class _Replacement:
    """One replacement under way."""

    _parts: TileStoreParts
    _tile_id: TileId
    _step: WriteStep = WriteStep.HASH_GATE

    def run(self, pixels: bytes, metadata: TileMetadata) -> ReplacedTile:
        """All steps; the outcome is recorded once."""
        parts = self._parts
        parts.recalls.look()
        now = parts.clock.now()
        is_committed = False
        try:
            staged = parts.files.stage(pixels, metadata)
            before = self._check(metadata)
            self._step = WriteStep.RECALL
            parts.recalls.check_new(metadata)
            self._step = WriteStep.FRESHNESS_GATE
            admitted = parts.gate.admit(metadata, now)
            created_at = parts.clock_guard.stamp(reading=now)
            lost_races = 0
            while True:
                try:
                    with self._reserve(admitted, before, lost_races):
                        replaced = self._commit(staged, admitted, created_at)
                        is_committed = True
                        parts.recorder.record(replaced_event(replaced.before, replaced.stored))
                        self._settle(staged, replaced.stored)
                    return replaced
                except HeadroomTakenError:
                    lost_races += 1
                    if lost_races > MAX_LOST_RACES:
                        raise
                    before = self._check(admitted)
        except Exception as error:
            if not is_committed:
                parts.recorder.record(write_failed_event(self._tile_id, self._step, error))
            raise

    def _check(self, metadata: TileMetadata) -> TileMetadataPersistent:
        """The row that is there, which the new imagery may replace."""
        self._step = WriteStep.INSERT
        before = self._parts.rows.get(self._tile_id)
        if before is None:
            raise TileNotFoundError(self._tile_id, remedy="write it: there is nothing to replace")
        check_replacement(before, metadata)
        return before

    def _reserve(
        self, admitted: TileMetadata, before: TileMetadataPersistent, lost_races: int
    ) -> AbstractContextManager[object]:
        """Room for the difference; a tile that does not grow needs none, whatever the store takes."""
        self._step = WriteStep.DISK_BUDGET
        needed_bytes = footprint(admitted.disk_bytes) - footprint(before.disk_bytes)
        if needed_bytes <= 0:
            return nullcontext()
        return self._parts.headroom.reserve_headroom(needed_bytes, lost_races, spared=self._tile_id)

    def _commit(self, staged: StagedTile, admitted: TileMetadata, created_at: datetime) -> ReplacedTile:
        """Steps 5 and 6."""
        parts = self._parts
        self._step = WriteStep.INSERT
        with (
            parts.rows.replacing(admitted, created_at) as row,
            WithdrawOnFailure(parts.files, [staged]) as written,
        ):
            before = row.before
            check_replacement(before, admitted)
            self._step = WriteStep.FILES
            parts.files.place_beside(staged)
            self._step = WriteStep.COMMIT
            return ReplacedTile(written.commit(row.commit), before)

    def _settle(self, staged: StagedTile, stored: TileMetadataPersistent) -> None:
        """Step 7, and the catalogue: the tile is committed, so no failure here says otherwise."""
        parts = self._parts
        try:
            row = parts.sync.settle_own(stored)
            if row is None or row.content_sha256 != stored.content_sha256:
                parts.files.withdraw(staged)  # the tile was deleted, or replaced once more, since the commit
        except StoreUnavailableError as error:
            raise CommitOutcomeUnknownError(
                f"tile {self._tile_id} is replaced and committed, but its file has not got its place yet: "
                f"{error}",
                remedy="nothing is lost: the next open, or aerotile verify --reconcile, gives it its place",
            ) from error
