"""Two uploaders of one store at the same time: a rejection counts once, and one of them gives the tile up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import attrs
import pytest

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.tile_files import MemoryTilePixelHandle
from aerotile.adapters.memory.uploader import MemoryProvider, MemoryUploadLedger
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.domain.flight_events import EventKind
from aerotile.domain.policies.upload_retry import RetryBudget
from aerotile.domain.uploads.retrying_uploader import RetryingTileUploader
from aerotile.domain.uploads.upload_pending import PendingTileUploader
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, VotingStatus
from aerotile.domain.values.upload_reports import UploadReason, UploadRequest

MOST_ATTEMPTS = 3


@attrs.frozen
class OneTile:
    """The pixels of the only tile."""

    pixels: bytes

    def read_tile_pixels(self, tile_id: TileId) -> MemoryTilePixelHandle:
        return MemoryTilePixelHandle.of(self.pixels)


@attrs.frozen
class Site:
    store: PostgresTileMetadataStore
    tile_id: TileId
    recorder: MemoryFlightRecorder
    upload: Callable[[], object]

    @property
    def row(self) -> TileMetadataPersistent:
        found = self.store.get_by_id(self.tile_id)
        assert found is not None
        return found

    def upload_twice_at_once(self) -> None:
        with ThreadPoolExecutor(2) as pool:
            for upload in [pool.submit(self.upload) for _ in range(2)]:
                upload.result(timeout=60)


@pytest.fixture
def site(migrated_database: str, onboard_tile: Callable[..., Any]) -> Iterator[Site]:
    """Each uploader waits with its answer until the other one has chosen the tile as well."""
    pixels, metadata = onboard_tile(0)
    both_have_chosen = threading.Barrier(2)
    recorder, ledger = MemoryFlightRecorder(), MemoryUploadLedger()
    with Database(migrated_database, max_size=4) as database:
        store = PostgresTileMetadataStore(database)
        store.insert_metadata(metadata)

        def wait_for_the_other(_: object) -> None:
            both_have_chosen.wait(60)

        def upload() -> object:
            provider = MemoryProvider()
            provider.rejections[metadata.tile_id.tile_uuid] = UploadReason("refused", "too ugly")
            provider.refusal = wait_for_the_other
            clock = ManualClock(datetime(2026, 5, 1, 12, tzinfo=timezone.utc))
            bare = PendingTileUploader(
                tiles=store, store=OneTile(pixels), ledger=ledger, link=provider, clock=clock
            )
            budget = RetryBudget(max_in_call_retries=0, max_per_tile_attempts=MOST_ATTEMPTS)
            uploader = RetryingTileUploader(
                bare, attempts=store, budget=budget, clock=clock, recorder=recorder
            )
            return uploader.upload_pending_tiles(UploadRequest())

        yield Site(store, metadata.tile_id, recorder, upload)


def test_a_rejection_that_two_uploaders_met_at_once_is_counted_once_and_given_up_once(site: Site) -> None:
    for attempts in range(1, MOST_ATTEMPTS + 1):
        assert site.recorder.events == ()
        site.upload_twice_at_once()
        assert site.row.upload_attempts == attempts
    assert site.row.voting_status is VotingStatus.UPLOAD_GIVEUP
    (event,) = site.recorder.events
    assert (event.kind, event.payload["attempts"]) == (EventKind.UPLOAD_GIVEUP, MOST_ATTEMPTS)


def test_a_rejection_counts_only_from_the_number_that_was_read_and_only_while_the_tile_is_pending(
    site: Site,
) -> None:
    assert site.store.count_rejection(site.tile_id, 0, gives_up=False)
    assert not site.store.count_rejection(site.tile_id, 0, gives_up=True)
    assert (site.row.upload_attempts, site.row.voting_status) == (1, VotingStatus.PENDING)
    site.store.update_voting_status(site.tile_id, VotingStatus.REJECTED)
    assert not site.store.count_rejection(site.tile_id, 1, gives_up=True)
    assert site.row.voting_status is VotingStatus.REJECTED
