"""The contract of `TileUploader`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs
import pytest

from ...domain.ports.uploader import TileUploader
from ...domain.values.pixels import TilePixelHandle
from ...domain.values.tiles import TileId, TileMetadata, TileSource, VotingStatus
from ...domain.values.upload_reports import BatchOutcome, BatchProgress, UploadRequest
from ..memory.clock import ManualClock
from ..memory.example_jpeg import example_jpeg, example_metadata
from ..memory.tile_files import MemoryTileFiles
from ..memory.tile_rows import MemoryTileRows
from ..memory.uploader import MemoryUploadLedger

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")


@attrs.define
class PendingTiles:
    """Ten pending tiles of the aircraft, and the ledger of their upload."""

    rows: MemoryTileRows = attrs.field(factory=MemoryTileRows)
    files: MemoryTileFiles = attrs.field(factory=MemoryTileFiles)
    ledger: MemoryUploadLedger = attrs.field(factory=MemoryUploadLedger)

    def __attrs_post_init__(self) -> None:
        for x in range(10):
            self.files.place(self.files.stage(pixels_of(x), metadata_of(x)))
            self.rows.insert_metadata(metadata_of(x))

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """Read as a store does."""
        return self.files.open(tile_id)

    def tile_id(self, x: int) -> TileId:
        """The tile in a column."""
        return metadata_of(x).tile_id

    @property
    def pending(self) -> list[int]:
        """The columns of the pending tiles."""
        return [tile.tile_id.x for tile in self.rows.pending_uploads(1_000)]

    @property
    def uploaded(self) -> dict[UUID, str]:
        """The hashes of the tiles that are marked as uploaded."""
        return {t.tile_uuid: t.content_sha256 for t in self.rows.committed() if t.uploaded_at is not None}


def pixels_of(x: int) -> bytes:
    return example_jpeg(hashlib.shake_128(str(x).encode()).digest(300), 300)


def metadata_of(x: int) -> TileMetadata:
    pixels = pixels_of(x)
    return example_metadata(
        TileId(18, x, 90123, TileSource.ONBOARD, FLIGHT),
        pixels,
        captured_at=NOON - timedelta(hours=1),
        ground_sample_distance=0.59,
        voting_status=VotingStatus.PENDING,
    )


@attrs.define
class TileUploaderSubject:
    """An uploader under test, the tiles that it uploads, and the provider that it uploads them to."""

    uploader: TileUploader
    tiles: PendingTiles
    clock: ManualClock
    held: Callable[[], dict[UUID, str]]
    """The hash of every tile that the provider stores."""
    refuse: Callable[[UUID], None]
    """Have the provider reject a tile from now on, with the code "refused"."""
    is_retrying: bool = False
    """Whether a rejected tile is sent a second time after 2 s of `clock`, then given up."""
    progress: list[BatchProgress] = attrs.field(factory=list)

    def request(self, stopped: Callable[[], bool] = lambda: False) -> UploadRequest:
        return UploadRequest(after_batch=self.progress.append, stopped=stopped)


class TileUploaderContract:
    """Holds an uploader that sends at most 4 tiles in a batch."""

    @pytest.fixture
    def tiles(self) -> PendingTiles:
        return PendingTiles()

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(NOON)

    @pytest.fixture
    def subject(self, tiles: PendingTiles, clock: ManualClock) -> TileUploaderSubject:
        """The uploader under test over `tiles` and `clock`. Override it."""
        raise NotImplementedError

    def test_it_is_a_tile_uploader(self, subject: TileUploaderSubject) -> None:
        assert isinstance(subject.uploader, TileUploader)

    def test_afterwards_the_provider_holds_every_tile_with_our_hash_and_our_rows_say_so(
        self, subject: TileUploaderSubject
    ) -> None:
        report = subject.uploader.upload_pending_tiles(subject.request())
        assert (report.outcome, report.accepted, report.duplicates) == (BatchOutcome.SUCCESS, 10, 0)
        assert subject.held() == subject.tiles.uploaded
        assert len(subject.held()) == 10
        assert subject.tiles.pending == []

    def test_a_second_call_finds_nothing_to_do(self, subject: TileUploaderSubject) -> None:
        subject.uploader.upload_pending_tiles(subject.request())
        subject.progress.clear()
        report = subject.uploader.upload_pending_tiles(subject.request())
        assert (report.outcome, report.accepted) == (BatchOutcome.SUCCESS, 0)
        assert subject.progress == []

    def test_what_the_provider_held_before_is_marked_as_a_duplicate(
        self, subject: TileUploaderSubject
    ) -> None:
        subject.uploader.upload_pending_tiles(subject.request())
        held = subject.held()
        for row in list(subject.tiles.rows.committed()):
            with subject.tiles.rows.removing(row.tile_id):
                pass
            subject.tiles.rows.insert_metadata(metadata_of(row.tile_id.x))
        report = subject.uploader.upload_pending_tiles(subject.request())
        assert (report.outcome, report.accepted, report.duplicates) == (BatchOutcome.SUCCESS, 0, 10)
        assert subject.held() == held

    def test_a_rejected_tile_leaves_its_batch_alone(self, subject: TileUploaderSubject) -> None:
        refused = subject.tiles.tile_id(1)
        subject.refuse(refused.tile_uuid)
        report = subject.uploader.upload_pending_tiles(subject.request())
        assert report.outcome is BatchOutcome.PARTIAL
        assert report.accepted == 9
        (left,) = report.given_up if subject.is_retrying else report.rejected
        assert left.tile_id == refused
        assert left.reason is not None
        assert left.reason.code == "refused"
        assert subject.tiles.pending == ([] if subject.is_retrying else [1])
        assert subject.clock.now() == NOON + timedelta(seconds=2 * subject.is_retrying)

    def test_a_stopped_call_leaves_the_rest_for_the_next_one(self, subject: TileUploaderSubject) -> None:
        stopped = subject.request(stopped=lambda: bool(subject.progress))
        report = subject.uploader.upload_pending_tiles(stopped)
        assert report.outcome is BatchOutcome.PARTIAL
        assert report.accepted == len(subject.held()) == len(subject.tiles.uploaded) < 10
        assert subject.uploader.upload_pending_tiles(subject.request()).outcome is BatchOutcome.SUCCESS
        assert len(subject.held()) == 10

    def test_progress_is_told_after_it_is_durable(self, subject: TileUploaderSubject) -> None:
        marked: list[int] = []
        request = UploadRequest(after_batch=lambda progress: marked.append(len(subject.tiles.uploaded)))
        subject.uploader.upload_pending_tiles(request)
        assert marked == [4, 8, 10]

    def test_the_ledger_holds_a_line_before_and_after_each_sending(
        self, subject: TileUploaderSubject
    ) -> None:
        subject.uploader.upload_pending_tiles(subject.request())
        sent = [entry for entry in subject.tiles.ledger.entries if entry.result is None]
        answered = [entry for entry in subject.tiles.ledger.entries if entry.result is not None]
        assert {(e.request_id, e.tile_uuid) for e in sent} == {(e.request_id, e.tile_uuid) for e in answered}
        assert len(sent) == len(answered) == 10
