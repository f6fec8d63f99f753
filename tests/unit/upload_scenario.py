"""Uploads without a socket or a sleep: a store, a provider and a clock for the tests of uploads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.tile_files import MemoryTilePixelHandle
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.adapters.memory.uploader import MemoryProvider, MemoryUploadLedger
from aerotile.domain.errors import TileNotFoundError
from aerotile.domain.policies.upload_batching import BatchLimits
from aerotile.domain.policies.upload_retry import RetryBudget
from aerotile.domain.ports.uploader import TileUploader
from aerotile.domain.uploads.retrying_uploader import RetryingTileUploader
from aerotile.domain.uploads.upload_pending import PendingTileUploader
from aerotile.domain.values.tiles import (
    TileId,
    TileMetadataPersistent,
    TileSource,
    VotingStatus,
)
from aerotile.domain.values.upload_reports import (
    BatchOutcome,
    BatchProgress,
    ProblemKind,
    UploadBatchReport,
    UploadProblem,
    UploadReason,
    UploadRequest,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
BUDGET = RetryBudget(max_in_call_retries=3, max_per_tile_attempts=3, backoff_base_s=2.0, backoff_cap_s=10.0)
UGLY = UploadReason("refused", "too ugly")
SUCCESS, PARTIAL, FAILURE = BatchOutcome.SUCCESS, BatchOutcome.PARTIAL, BatchOutcome.FAILURE


def problem(kind: ProblemKind, retry_after_s: float | None = None) -> UploadProblem:
    return UploadProblem(kind=kind, reason=UploadReason(kind.value, "it is"), retry_after_s=retry_after_s)


def pixels_of(x: int) -> bytes:
    return example_jpeg(bytes([x % 256]) * 100)


def onboard(x: int) -> TileId:
    return TileId(12, x, 0, TileSource.ONBOARD, FLIGHT)


@attrs.define
class Pixels:
    """The pixels of a store's tiles, some of them missing or damaged."""

    held: dict[TileId, bytes] = attrs.field(factory=dict)

    def read_tile_pixels(self, tile_id: TileId) -> MemoryTilePixelHandle:
        if tile_id not in self.held:
            raise TileNotFoundError(tile_id)
        return MemoryTilePixelHandle.of(self.held[tile_id])


@attrs.define
class SleepingClock:
    """A manual clock that remembers how long it slept."""

    clock: ManualClock = attrs.field(factory=lambda: ManualClock(NOON))
    slept: list[float] = attrs.field(factory=list)

    def now(self) -> datetime:
        return self.clock.now()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.sleep(seconds)


class Scenario:
    """Everything that an upload needs, with `count` pending tiles."""

    def __init__(
        self,
        count: int,
        *,
        limits: BatchLimits | None = None,
        parallel: int = 1,
        budget: RetryBudget = BUDGET,
        voting_status: VotingStatus | None = VotingStatus.PENDING,
    ) -> None:
        self.rows = MemoryTileRows()
        self.pixels = Pixels()
        self.ledger = MemoryUploadLedger()
        self.provider = MemoryProvider()
        self.clock = SleepingClock()
        self.recorder = MemoryFlightRecorder()
        self.progress: list[BatchProgress] = []
        self.ids = [onboard(x) for x in range(count)]
        for tile_id in self.ids:
            self.add(tile_id, voting_status)
        self.bare = PendingTileUploader(
            tiles=self.rows,
            store=self.pixels,
            ledger=self.ledger,
            link=self.provider,
            clock=self.clock,
            limits=limits or BatchLimits(max_tiles=4),
            parallel=parallel,
        )
        self.uploader = self.retrying(self.bare, budget)

    def retrying(self, uploader: TileUploader, budget: RetryBudget) -> RetryingTileUploader:
        return RetryingTileUploader(
            uploader, attempts=self.rows, budget=budget, clock=self.clock, recorder=self.recorder
        )

    def add(self, tile_id: TileId, voting_status: VotingStatus | None = None) -> None:
        pixels = pixels_of(tile_id.x)
        metadata = example_metadata(tile_id, pixels, captured_at=NOON, voting_status=voting_status)
        with self.rows.insert(metadata, NOON + timedelta(seconds=tile_id.x)) as row:
            row.commit()
        self.pixels.held[tile_id] = pixels

    def run(self, uploader: TileUploader | None = None) -> UploadBatchReport:
        request = UploadRequest(after_batch=self.progress.append)
        return (uploader or self.uploader).upload_pending_tiles(request)

    def row(self, x: int) -> TileMetadataPersistent:
        found = self.rows.get(onboard(x))
        assert found is not None
        return found

    @property
    def pending(self) -> list[int]:
        return [tile.tile_id.x for tile in self.rows.pending_uploads(10_000)]

    @property
    def uploaded(self) -> list[int]:
        return [tile_id.x for tile_id in self.ids if self.row(tile_id.x).uploaded_at is not None]

    @property
    def sent(self) -> list[list[int]]:
        return [[tile.tile_id.x for tile in batch] for batch in self.provider.batches]

    def reject(self, *columns: int) -> None:
        for x in columns:
            self.provider.rejections[onboard(x).tile_uuid] = UGLY


def containing(
    x: int, kind: ProblemKind
) -> Callable[[Sequence[TileMetadataPersistent]], UploadProblem | None]:
    """Trouble for every batch that holds tile x."""
    return lambda tiles: problem(kind) if any(t.tile_id.x == x for t in tiles) else None
