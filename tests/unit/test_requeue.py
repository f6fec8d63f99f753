"""Requeueing given-up tiles, as a library: what becomes pending again, and what the record says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from upload_scenario import NOON, onboard, pixels_of

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.upload_queue import MemoryUploadQueue
from aerotile.domain.errors import TileMetadataError, TileNotFoundError
from aerotile.domain.flight_events import EventKind
from aerotile.domain.uploads.requeue import RequeuedTile, given_up_tiles, requeue
from aerotile.domain.values.tiles import TileId, VotingStatus


@pytest.fixture
def queue() -> MemoryUploadQueue:
    """Tiles 0 to 3, of which 1 and 3 are given up after three attempts."""
    rows = MemoryUploadQueue()
    for x in range(4):
        metadata = example_metadata(
            onboard(x), pixels_of(x), captured_at=NOON, voting_status=VotingStatus.PENDING
        )
        with rows.insert(metadata, NOON + timedelta(seconds=x)) as row:
            row.commit()
    for x in (1, 3):
        for _ in range(3):
            rows.increment_upload_attempts(onboard(x))
        rows.update_voting_status(onboard(x), VotingStatus.UPLOAD_GIVEUP)
    return rows


@pytest.fixture
def recorder() -> MemoryFlightRecorder:
    return MemoryFlightRecorder()


def run(queue: MemoryUploadQueue, recorder: MemoryFlightRecorder, *tile_ids: TileId) -> list[RequeuedTile]:
    return requeue(tile_ids, queue=queue, clock=ManualClock(NOON), recorder=recorder)


def pending(queue: MemoryUploadQueue) -> list[int]:
    return [row.tile_id.x for row in queue.pending_uploads(10)]


def test_a_requeued_tile_is_pending_with_no_attempts_and_on_the_flight_record(
    queue: MemoryUploadQueue, recorder: MemoryFlightRecorder
) -> None:
    assert pending(queue) == [0, 2]
    assert run(queue, recorder, onboard(1)) == [RequeuedTile(onboard(1), 2)]
    assert pending(queue) == [0, 1, 2]
    row = queue.get(onboard(1))
    assert row is not None
    assert row.upload_attempts == 0
    (event,) = recorder.events
    assert (event.kind, event.payload["tile"], event.payload["generation"]) == (
        EventKind.UPLOAD_REQUEUED,
        str(onboard(1)),
        2,
    )


def test_every_given_up_tile_can_be_requeued(
    queue: MemoryUploadQueue, recorder: MemoryFlightRecorder
) -> None:
    assert given_up_tiles(queue) == [onboard(1), onboard(3)]
    run(queue, recorder, *given_up_tiles(queue))
    assert given_up_tiles(queue) == []
    assert len(recorder.events) == 2


@pytest.mark.parametrize(("x", "error"), [(0, TileMetadataError), (9, TileNotFoundError)])
def test_tiles_before_one_that_is_refused_stay_requeued(
    queue: MemoryUploadQueue, recorder: MemoryFlightRecorder, x: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(queue, recorder, onboard(1), onboard(x), onboard(3))
    assert given_up_tiles(queue) == [onboard(3)]
    assert len(recorder.events) == 1
