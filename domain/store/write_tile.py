"""Writing one tile, in six steps:

    1. hash gate        length, SHA-256, JPEG structure and size of the bytes, before any I/O
    2. freshness gate   the tile is not recalled, and not too old for the sectors that it lies in
    3. disk budget      room is reserved; other tiles are evicted for it, by onboard tiles only onboard tiles
    4. INSERT           in a transaction that stays open; a duplicate is refused here
    5. files            the file, durable and in place; its sidecar, which may lag behind a crash
    6. COMMIT           of the row; from here on the tile exists

A duplicate that the catalogue knows is refused before step 3, so that it evicts nothing; the database
confirms it, because the catalogue may be behind. While the database works on step 4, the bytes of a tile that
the catalogue does not know are written to an unlinked file. A failure at any step leaves the store as it was
before the first. When another process takes the reserved room before the commit, steps 3 to 6 are repeated.
The outcome is recorded once.

Beside threads that compute, each taking of the interpreter's lock costs a switch interval for each of them.
A write gives the lock up once: `prewrite` writes the bytes, waits for the answer to the INSERT, does step 5
where it says that the row is inserted, and step 6 where the file is durable. The row is committing then, and
`commit` reads both answers. Where it stopped before, steps 4 to 6 go on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from ..errors import (
    CaptureTimeConflictError,
    CommitOutcomeUnknownError,
    DuplicateTileError,
    HeadroomTakenError,
    TileCacheError,
)
from ..flight_events import WriteStep
from ..make_events import write_event, write_failed_event
from ..ports.tile_files import StagedTile, TileFiles
from ..ports.tile_rows import OpenRow
from ..values.disk_usage import footprint
from ..values.tiles import TileMetadata, TileMetadataPersistent, TileSource
from .tile_store_parts import TileStoreParts

T = TypeVar("T")

MAX_LOST_RACES = 10
"""How often a write reserves room again after another process took it; each time more room is freed."""


def write_tile(parts: TileStoreParts, pixels: bytes, metadata: TileMetadata) -> TileMetadataPersistent:
    """Write one tile; durable when this returns. Raises what `TileStore.write_tile` raises."""
    parts.recalls.look()
    now = parts.clock.now()
    lost_races = 0
    step = WriteStep.HASH_GATE
    try:
        staged = parts.files.stage(pixels, metadata)
        step = WriteStep.RECALL
        parts.recalls.check_new(metadata)
        step = WriteStep.FRESHNESS_GATE
        admitted = parts.gate.admit(metadata, now)
        needed_bytes = footprint(admitted.disk_bytes)
        is_onboard = admitted.tile_id.source is TileSource.ONBOARD
        step = WriteStep.INSERT
        parts.sync.flight_limit.claim(admitted.tile_id)
        is_known = admitted.tile_id in parts.sync.catalogue
        if is_known and (known := parts.rows.get(admitted.tile_id)) is not None:
            raise duplicate_of(admitted, known)
        while True:
            step = WriteStep.DISK_BUDGET
            try:
                with parts.headroom.reserve_headroom(needed_bytes, lost_races, onboard=is_onboard):
                    step = WriteStep.INSERT
                    created_at = parts.clock_guard.stamp(reading=now)
                    with (
                        parts.rows.insert(admitted, created_at) as row,
                        WithdrawOnFailure(parts.files, [staged], row) as written,
                    ):
                        if admitted.tile_id not in parts.sync.catalogue:
                            parts.files.prewrite(staged, row.answers)
                        if not row.is_committing:
                            row.finish_insert()
                            step = WriteStep.FILES
                            parts.files.place(staged)
                        step = WriteStep.COMMIT
                        stored = written.commit(row.commit)
                    parts.sync.add(stored)
                break
            except HeadroomTakenError:
                lost_races += 1
                if lost_races > MAX_LOST_RACES:
                    raise
            except DuplicateTileError as error:
                known = None
                with suppress(TileCacheError):  # without the row a vaguer reason must do
                    known = parts.rows.get(admitted.tile_id)
                raise duplicate_of(admitted, known) from error
    except Exception as error:
        parts.recorder.record(write_failed_event(metadata.tile_id, step, error))
        raise
    parts.recorder.record(write_event(stored))
    return stored


def duplicate_of(metadata: TileMetadata, known: TileMetadataPersistent | None) -> DuplicateTileError:
    """Why a tile is refused whose row is there: the same bytes under another date are named as that."""
    same_bytes = known is not None and known.content_sha256 == metadata.content_sha256
    if known is not None and same_bytes and known.captured_at != metadata.captured_at:
        return CaptureTimeConflictError(metadata.tile_id, known.captured_at, metadata.captured_at)
    return DuplicateTileError(metadata.tile_id)


class WithdrawOnFailure:
    """Removes written files when the context raises; not when the row may have been committed.

    From the COMMIT on, by `commit` or by a `row` that is committing, only the store's own errors say that it
    was not done: a signal's handler may raise.
    """

    __slots__ = ("_files", "_is_committing", "_row", "_staged")

    def __init__(self, files: TileFiles, staged: Sequence[StagedTile], row: OpenRow | None = None) -> None:
        self._files = files
        self._staged = staged
        self._row = row
        self._is_committing = False

    def __enter__(self) -> WithdrawOnFailure:
        return self

    def commit(self, commit: Callable[[], T]) -> T:
        """Call `commit`, which sends the COMMIT."""
        self._is_committing = True
        return commit()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        committing = self._is_committing or (self._row is not None and self._row.is_committing)
        says_not_committed = TileCacheError if committing else Exception
        if isinstance(error, says_not_committed) and not isinstance(error, CommitOutcomeUnknownError):
            for tile in self._staged:
                self._files.withdraw(tile)
