"""What every `TileUploader` holds: over HTTP and in memory, with and without its retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.http.client import ProviderAddress
from aerotile.adapters.http.uploader import HttpTileUploader
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.uploader import MemoryProvider
from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.server import ReferenceProvider
from aerotile.domain.policies.upload_batching import BatchLimits
from aerotile.domain.policies.upload_retry import RetryBudget
from aerotile.domain.ports.uploader import TileUploader
from aerotile.domain.uploads.retrying_uploader import RetryingTileUploader
from aerotile.domain.uploads.upload_pending import PendingTileUploader
from aerotile.domain.values.tiles import TileId
from aerotile.domain.values.upload_reports import BatchOutcome, BatchProgress, UploadReason, UploadRequest

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
LIMITS = BatchLimits(max_tiles=4)


@attrs.define
class Subject:
    """An uploader under test, the cache that it empties, and the provider behind it."""

    uploader: TileUploader
    cache: Any
    held: Callable[[], dict[UUID, str]]
    refuse: Callable[[UUID], None]
    clock: ManualClock
    is_retrying: bool
    progress: list[BatchProgress] = attrs.field(factory=list)

    def request(self, stopped: Callable[[], bool] = lambda: False) -> UploadRequest:
        return UploadRequest(after_batch=self.progress.append, stopped=stopped)


def in_memory(cache: Any, clock: ManualClock) -> Iterator[Any]:
    provider = MemoryProvider()

    def refuse(tile_uuid: UUID) -> None:
        provider.rejections[tile_uuid] = UploadReason("refused", "never")

    uploader = PendingTileUploader(
        tiles=cache.rows, store=cache, ledger=cache.ledger, link=provider, clock=clock, limits=LIMITS
    )
    yield uploader, lambda: dict(provider.stored), refuse


def over_http(cache: Any, clock: ManualClock, folder: Path) -> Iterator[Any]:
    with ReferenceProvider(folder, Secret("s3cr3t")) as provider:
        address = ProviderAddress(url=provider.url, token=Secret("s3cr3t"))

        def refuse(tile_uuid: UUID) -> None:
            provider.behaviour = Behaviour(refused={tile_uuid: "never"})

        with HttpTileUploader(
            address, tiles=cache.rows, store=cache, ledger=cache.ledger, clock=clock, limits=LIMITS
        ) as uploader:
            yield uploader, provider.tiles.hashes, refuse


@pytest.fixture(params=["memory", "http"])
def parts(request: pytest.FixtureRequest, memory_cache: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    cache, clock = memory_cache(10), ManualClock(NOON)
    made = in_memory(cache, clock) if request.param == "memory" else over_http(cache, clock, tmp_path)
    for part in made:
        yield *part, cache, clock


@pytest.fixture(params=["bare", "retrying"])
def subject(request: pytest.FixtureRequest, parts: Any) -> Subject:
    uploader, held, refuse, cache, clock = parts
    if request.param == "retrying":
        uploader = RetryingTileUploader(
            uploader,
            attempts=cache.rows,
            budget=RetryBudget(max_per_tile_attempts=2),
            clock=clock,
            recorder=MemoryFlightRecorder(),
        )
    return Subject(uploader, cache, held, refuse, clock, request.param == "retrying")


def tile(subject: Subject, x: int) -> TileId:
    (found,) = [row.tile_id for row in subject.cache.rows.committed() if row.tile_id.x == x]
    assert isinstance(found, TileId)
    return found


def test_it_is_a_tile_uploader(subject: Subject) -> None:
    assert isinstance(subject.uploader, TileUploader)


def test_afterwards_the_provider_holds_every_tile_with_our_hash_and_our_rows_say_so(subject: Subject) -> None:
    report = subject.uploader.upload_pending_tiles(subject.request())
    assert (report.outcome, report.accepted, report.duplicates) == (BatchOutcome.SUCCESS, 10, 0)
    assert subject.held() == subject.cache.uploaded
    assert len(subject.held()) == 10
    assert subject.cache.pending == []


def test_a_second_call_finds_nothing_to_do(subject: Subject) -> None:
    subject.uploader.upload_pending_tiles(subject.request())
    subject.progress.clear()
    report = subject.uploader.upload_pending_tiles(subject.request())
    assert (report.outcome, report.accepted) == (BatchOutcome.SUCCESS, 0)
    assert subject.progress == []


def test_what_the_provider_held_before_is_marked_as_a_duplicate(
    subject: Subject, memory_cache: Callable[..., Any]
) -> None:
    subject.uploader.upload_pending_tiles(subject.request())
    held = subject.held()
    for row in list(subject.cache.rows.committed()):
        with subject.cache.rows.removing(row.tile_id):
            pass
        subject.cache.rows.insert_metadata(
            attrs.evolve(next(m for m in memory_cache(10).rows.committed() if m.tile_id == row.tile_id))
        )
    report = subject.uploader.upload_pending_tiles(subject.request())
    assert (report.outcome, report.accepted, report.duplicates) == (BatchOutcome.SUCCESS, 0, 10)
    assert subject.held() == held


def test_a_rejected_tile_leaves_its_batch_alone(subject: Subject) -> None:
    refused = tile(subject, 1)
    subject.refuse(refused.tile_uuid)
    report = subject.uploader.upload_pending_tiles(subject.request())
    assert report.outcome is BatchOutcome.PARTIAL
    assert report.accepted == 9
    (left,) = report.given_up if subject.is_retrying else report.rejected
    assert left.tile_id == refused
    assert left.reason is not None
    assert left.reason.code == "refused"
    assert subject.cache.pending == ([] if subject.is_retrying else [1])
    assert subject.clock.now() == NOON + timedelta(seconds=2 * subject.is_retrying)


def test_a_stopped_call_leaves_the_rest_for_the_next_one(subject: Subject) -> None:
    stopped = subject.request(stopped=lambda: bool(subject.progress))
    report = subject.uploader.upload_pending_tiles(stopped)
    assert report.outcome is BatchOutcome.PARTIAL
    assert report.accepted == len(subject.held()) == len(subject.cache.uploaded) < 10
    assert subject.uploader.upload_pending_tiles(subject.request()).outcome is BatchOutcome.SUCCESS
    assert len(subject.held()) == 10


def test_progress_is_told_after_it_is_durable(subject: Subject) -> None:
    marked: list[int] = []
    request = UploadRequest(after_batch=lambda progress: marked.append(len(subject.cache.uploaded)))
    subject.uploader.upload_pending_tiles(request)
    assert marked == [4, 8, 10]


def test_the_ledger_holds_a_line_before_and_after_each_sending(subject: Subject) -> None:
    subject.uploader.upload_pending_tiles(subject.request())
    sent = [entry for entry in subject.cache.ledger.entries if entry.result is None]
    heard = [entry for entry in subject.cache.ledger.entries if entry.result is not None]
    assert {(e.request_id, e.tile_uuid) for e in sent} == {(e.request_id, e.tile_uuid) for e in heard}
    assert len(sent) == len(heard) == 10
