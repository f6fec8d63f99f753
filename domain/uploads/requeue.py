"""Give given-up tiles another life in the upload queue: pending again, with no rejection counted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import attrs

from ..make_events import upload_requeued_event
from ..ports.clock import Clock
from ..ports.flight_recorder import FlightRecorder
from ..values.tiles import TileId
from ..values.upload_reports import UploadListEntry, UploadState


class UploadQueue(Protocol):
    """The onboard tiles with their state. Every method raises `StoreUnavailableError`."""

    def entries(self) -> Iterable[UploadListEntry]:
        """Every onboard tile with its last line in the ledger, the oldest row first."""

    def requeue(self, tile_id: TileId, at: datetime) -> int:
        """Make a given-up tile pending again, durably; returns the number of its new life.

        Raises `TileNotFoundError`, or `TileMetadataError` for a tile that is not given up.
        """


@attrs.frozen
class RequeuedTile:
    """A tile that is pending again."""

    tile_id: TileId
    generation: int
    """The number of its life in the queue; the first one is 1."""


def given_up_tiles(queue: UploadQueue) -> list[TileId]:
    """Every tile that is given up. Raises `StoreUnavailableError`."""
    return [entry.tile.tile_id for entry in queue.entries() if entry.state is UploadState.GIVEN_UP]


def requeue(
    tile_ids: Iterable[TileId], *, queue: UploadQueue, clock: Clock, recorder: FlightRecorder
) -> list[RequeuedTile]:
    """Requeue the tiles one by one, each durably and on the flight record.

    Raises `TileNotFoundError`, `TileMetadataError` for a tile that is not given up, `StoreUnavailableError`;
    tiles before the one that raises stay requeued.
    """
    requeued = []
    for tile_id in tile_ids:
        generation = queue.requeue(tile_id, clock.now())
        recorder.record(upload_requeued_event(tile_id, generation))
        requeued.append(RequeuedTile(tile_id, generation))
    return requeued
