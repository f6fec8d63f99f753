"""Uploads without a socket or a sleep: a pass, its retries, and what survives whatever goes wrong."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.recorder import MemoryFlightRecorder
from aerotile.adapters.memory.rows import MemoryTileRows
from aerotile.adapters.memory.tile_files import MemoryTilePixelHandle
from aerotile.adapters.memory.uploader import MemoryProvider, MemoryUploadLedger
from aerotile.domain.errors import TileNotFoundError
from aerotile.domain.ports import TileUploader
from aerotile.domain.retry import RetryBudget
from aerotile.domain.retrying_uploader import RetryingTileUploader
from aerotile.domain.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource, VotingStatus
from aerotile.domain.upload import (
    BatchAnswer,
    BatchOutcome,
    BatchProgress,
    ProblemKind,
    TileUploadOutcome,
    TileWord,
    UploadBatch,
    UploadBatchReport,
    UploadProblem,
    UploadReason,
    UploadRequest,
)
from aerotile.domain.upload_pass import BatchLimits
from aerotile.domain.upload_tiles import PendingTileUploader, judge

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
BUDGET = RetryBudget(max_in_call_retries=3, max_per_tile_attempts=3, backoff_base_s=2.0, backoff_cap_s=10.0)
UGLY = UploadReason("refused", "too ugly")
SUCCESS, PARTIAL, FAILURE = BatchOutcome.SUCCESS, BatchOutcome.PARTIAL, BatchOutcome.FAILURE


def problem(kind: ProblemKind, retry_after_s: float | None = None) -> UploadProblem:
    return UploadProblem(kind=kind, reason=UploadReason(kind.value, "it is"), retry_after_s=retry_after_s)


def pixels_of(x: int) -> bytes:
    return b"\xff\xd8\xff" + bytes([x % 256]) * 100 + b"\xff\xd9"


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
        metadata = TileMetadata(
            tile_id=tile_id,
            captured_at=NOON,
            content_sha256=hashlib.sha256(pixels).hexdigest(),
            disk_bytes=len(pixels),
            ground_sample_distance=1.0,
            voting_status=voting_status,
        )
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


# --- a pass ---------------------------------------------------------------------------------------------


def test_everything_pending_goes_up_in_batches_oldest_first() -> None:
    scenario = Scenario(6)
    report = scenario.run(scenario.bare)
    assert report == UploadBatchReport(outcome=SUCCESS, accepted=6)
    assert scenario.sent == [[0, 1, 2, 3], [4, 5]]
    assert scenario.pending == []
    assert [sum(result.taken for result in p.results) for p in scenario.progress] == [4, 2]


def test_nothing_pending_is_a_success_without_a_request() -> None:
    scenario = Scenario(0)
    assert scenario.run() == UploadBatchReport(outcome=SUCCESS)
    assert scenario.sent == []


def test_a_batch_ends_before_the_tile_that_would_make_it_too_large() -> None:
    frame = len(pixels_of(0)) + 1024
    scenario = Scenario(5, limits=BatchLimits(max_bytes=2 * frame, max_tiles=100))
    scenario.run()
    assert scenario.sent == [[0, 1], [2, 3], [4]]


def test_a_tile_larger_than_a_batch_travels_alone() -> None:
    scenario = Scenario(3, limits=BatchLimits(max_bytes=1, max_tiles=100))
    assert scenario.run().outcome is SUCCESS
    assert scenario.sent == [[0], [1], [2]]


def test_a_duplicate_counts_as_taken() -> None:
    scenario = Scenario(2)
    scenario.provider.stored[onboard(0).tile_uuid] = scenario.row(0).content_sha256
    report = scenario.run()
    assert (report.outcome, report.accepted, report.duplicates) == (SUCCESS, 1, 1)
    assert scenario.uploaded == [0, 1]


def test_a_rejected_tile_does_not_fail_its_batch() -> None:
    scenario = Scenario(4)
    scenario.reject(1)
    report = scenario.run(scenario.bare)
    assert (report.outcome, report.accepted) == (PARTIAL, 3)
    assert [(result.tile_id.x, result.reason) for result in report.rejected] == [(1, UGLY)]
    assert scenario.pending == [1]


def test_as_many_rejected_tiles_as_a_batch_holds_do_not_keep_the_others_back() -> None:
    scenario = Scenario(20)
    scenario.reject(*range(9))
    scenario.run(scenario.bare)
    assert scenario.uploaded == list(range(9, 20))
    assert Counter(x for batch in scenario.sent for x in batch) == Counter(range(20))


def test_several_batches_are_under_way_at_once_and_share_no_tile() -> None:
    under_way: list[int] = []

    class Slow(MemoryProvider):
        def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
            under_way.append(len(batch.tiles))
            answer = super().begin(batch)

            def wait() -> BatchAnswer:
                depths.append(len(under_way))
                under_way.pop(0)
                return answer()

            return wait

    depths: list[int] = []
    scenario = Scenario(20, parallel=2)
    scenario.bare.link = Slow()
    assert scenario.run().accepted == 20
    assert depths == [2, 2, 2, 2, 1]


def test_the_pixels_are_let_go_when_the_answer_is_there() -> None:
    handles: list[MemoryTilePixelHandle] = []

    class Watched(Pixels):
        def read_tile_pixels(self, tile_id: TileId) -> MemoryTilePixelHandle:
            handles.append(super().read_tile_pixels(tile_id))
            return handles[-1]

    scenario = Scenario(6)
    scenario.bare.store = Watched(scenario.pixels.held)
    scenario.run()
    assert [handle.closed for handle in handles] == [True] * 6


def test_a_tile_whose_file_is_missing_or_damaged_is_rejected_here_and_the_others_go_up() -> None:
    scenario = Scenario(4)
    del scenario.pixels.held[onboard(0)]
    scenario.pixels.held[onboard(2)] = pixels_of(99)
    report = scenario.run(scenario.bare)
    assert {result.tile_id.x: result.reason.code for result in report.rejected if result.reason} == {
        0: "file_missing",
        2: "file_damaged",
    }
    assert scenario.sent == [[1, 3]]
    assert report.outcome is PARTIAL


# --- the provider's word --------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [TileUploadOutcome.ACCEPTED, TileUploadOutcome.DUPLICATE])
@pytest.mark.parametrize("claimed", ["b" * 64, None])
def test_a_word_with_another_hash_is_not_believed(outcome: TileUploadOutcome, claimed: str | None) -> None:
    tile = Scenario(1).row(0)
    result = judge(tile, TileWord(outcome, stored_sha256=claimed))
    assert not result.taken
    assert result.outcome is TileUploadOutcome.REJECTED
    assert result.reason is not None
    assert result.reason.code == "stored_hash_differs"


def test_a_tile_that_the_answer_leaves_out_stays_pending_uncounted() -> None:
    class Forgetful(MemoryProvider):
        def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
            words = dict(super().begin(batch)().words)
            words.pop(onboard(1).tile_uuid, None)
            return lambda: BatchAnswer(words)

    scenario = Scenario(4)
    scenario.bare.link = Forgetful()
    report = scenario.run()
    assert (report.outcome, report.accepted) == (PARTIAL, 3)
    assert [result.tile_id.x for result in report.unanswered] == [1]
    assert scenario.pending == [1]
    assert scenario.row(1).upload_attempts == 0


def test_a_tile_deleted_while_under_way_is_no_failure() -> None:
    scenario = Scenario(2)

    class Deleting(MemoryProvider):
        def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
            with scenario.rows.removing(onboard(0)):
                return super().begin(batch)

    scenario.bare.link = Deleting()
    assert scenario.run().outcome is SUCCESS


def test_the_ledger_notes_what_is_sent_before_it_is_sent_and_how_each_tile_ended() -> None:
    scenario = Scenario(2)
    scenario.reject(1)
    scenario.provider.refusal = lambda _: seen.append(len(scenario.ledger.entries))
    seen: list[int] = []
    scenario.run(scenario.bare)
    assert seen == [2]
    assert [(e.tile_uuid, e.result and e.result.outcome.value) for e in scenario.ledger.entries] == [
        (onboard(0).tile_uuid, None),
        (onboard(1).tile_uuid, None),
        (onboard(0).tile_uuid, "accepted"),
        (onboard(1).tile_uuid, "rejected"),
    ]
    assert len({entry.request_id for entry in scenario.ledger.entries}) == 1


# --- when there is no word ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [k for k in ProblemKind if k.ends_the_pass])
def test_a_problem_that_every_request_would_meet_ends_the_pass_after_one(kind: ProblemKind) -> None:
    scenario = Scenario(20)
    scenario.provider.refusal = lambda _: problem(kind)
    report = scenario.run(scenario.bare)
    assert report.outcome is FAILURE
    assert report.problem == problem(kind)
    assert len(scenario.sent) == 1


@pytest.mark.parametrize(
    "kind",
    [
        ProblemKind.BROKEN_OFF,
        ProblemKind.SERVER_FAULT,
        ProblemKind.UNREADABLE_BATCH,
        ProblemKind.GARBLED_ANSWER,
    ],
)
def test_a_provider_that_never_gives_its_word_is_left_alone_after_three_requests(kind: ProblemKind) -> None:
    scenario = Scenario(100)
    scenario.provider.refusal = lambda _: problem(kind)
    report = scenario.run(scenario.bare)
    assert report.outcome is FAILURE
    assert len(scenario.sent) == 3
    assert len(report.unanswered) == 12
    assert all(scenario.row(x).upload_attempts == 0 for x in range(100))


@pytest.mark.parametrize("poisoned", [0, 1, 2, 3, 37, 63])
@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        (ProblemKind.SERVER_FAULT, True),
        (ProblemKind.UNREADABLE_BATCH, True),
        (ProblemKind.TOO_LARGE, True),
        (ProblemKind.BROKEN_OFF, False),
        (ProblemKind.GARBLED_ANSWER, False),
    ],
)
def test_a_tile_that_breaks_every_request_it_is_in_is_found_and_starves_nobody(
    poisoned: int, kind: ProblemKind, counts: bool
) -> None:
    scenario = Scenario(64, limits=BatchLimits(max_tiles=16))
    scenario.provider.refusal = containing(poisoned, kind)
    report = scenario.run(scenario.bare)
    assert scenario.pending == [poisoned]
    assert (report.outcome, report.accepted) == (PARTIAL, 63)
    assert [result.tile_id.x for result in report.rejected] == [poisoned] * counts
    assert [result.tile_id.x for result in report.unanswered] == [poisoned] * (not counts)


def test_the_batches_after_a_broken_one_go_first_and_whole() -> None:
    scenario = Scenario(12)
    scenario.provider.refusal = containing(1, ProblemKind.BROKEN_OFF)
    scenario.run(scenario.bare)
    assert scenario.sent == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [0, 1], [2, 3], [0], [1]]


def test_a_batch_that_is_too_large_is_halved_and_so_are_those_after_it() -> None:
    scenario = Scenario(16, limits=BatchLimits(max_tiles=8))
    scenario.provider.refusal = lambda tiles: problem(ProblemKind.TOO_LARGE) if len(tiles) > 2 else None
    assert scenario.run(scenario.bare).outcome is SUCCESS
    assert [len(batch) for batch in scenario.sent] == [8, 4] + [2] * 8


def test_a_tile_that_is_too_large_by_itself_is_rejected() -> None:
    scenario = Scenario(1)
    scenario.provider.refusal = lambda _: problem(ProblemKind.TOO_LARGE)
    scenario.run(scenario.bare)
    assert len(scenario.sent) == 1
    report = scenario.run()
    assert [result.tile_id.x for result in report.given_up] == [0]


def test_a_lone_tile_is_not_blamed_for_a_fault_while_nothing_else_went_through() -> None:
    scenario = Scenario(1)
    scenario.provider.refusal = lambda _: problem(ProblemKind.SERVER_FAULT)
    report = scenario.run()
    assert (report.outcome, len(report.unanswered)) == (FAILURE, 1)
    assert scenario.row(0).upload_attempts == 0


def test_a_wish_to_wait_ends_the_pass_whatever_the_status() -> None:
    scenario = Scenario(20)
    scenario.provider.troubles.append(problem(ProblemKind.BROKEN_OFF, 3.0))
    report = scenario.run(scenario.bare)
    assert (report.outcome, report.retry_after_s, len(scenario.sent)) == (FAILURE, 3.0, 1)


def test_a_wish_to_wait_is_kept_when_another_batch_under_way_goes_through() -> None:
    scenario = Scenario(8, parallel=2)
    scenario.provider.troubles.append(problem(ProblemKind.BUSY, 3.0))
    report = scenario.run(scenario.bare)
    assert (report.outcome, report.accepted, report.retry_after_s) == (PARTIAL, 4, 3.0)


def test_tiles_that_are_refused_one_by_one_are_words_and_no_silence() -> None:
    scenario = Scenario(6, limits=BatchLimits(max_tiles=1))
    scenario.provider.refusal = lambda _: problem(ProblemKind.UNREADABLE_BATCH)
    report = scenario.run(scenario.bare)
    assert (report.outcome, len(report.rejected)) == (PARTIAL, 6)


# --- retries and giving up ------------------------------------------------------------------------------


def test_waits_grow_and_the_exhausted_call_says_when_to_come_back() -> None:
    scenario = Scenario(3, budget=attrs.evolve(BUDGET, max_per_tile_attempts=100))
    scenario.reject(1)
    report = scenario.run()
    assert scenario.clock.slept == [2.0, 4.0, 8.0]
    assert (report.outcome, report.retries) == (PARTIAL, 3)
    assert report.next_retry_at_s == (NOON + timedelta(seconds=14 + 10)).timestamp()
    assert scenario.row(1).upload_attempts == 4
    assert scenario.sent == [[0, 1, 2], [1], [1], [1]]


def test_what_the_provider_asks_is_waited_up_to_the_cap() -> None:
    scenario = Scenario(3)
    scenario.provider.troubles.extend([problem(ProblemKind.BUSY, 3.5), problem(ProblemKind.BUSY, 999.0)])
    report = scenario.run()
    assert scenario.clock.slept == [3.5, 10.0]
    assert (report.outcome, report.accepted, report.retries) == (SUCCESS, 3, 2)
    assert report.next_retry_at_s is None


def test_what_no_waiting_mends_is_reported_at_once() -> None:
    scenario = Scenario(3)
    scenario.provider.refusal = lambda _: problem(ProblemKind.REFUSED)
    report = scenario.run()
    assert (report.outcome, report.retries, report.next_retry_at_s) == (FAILURE, 0, None)
    assert scenario.clock.slept == []
    assert scenario.pending == [0, 1, 2]


@pytest.mark.parametrize("voting_status", [VotingStatus.PENDING, VotingStatus.TRUSTED, None])
def test_a_tile_that_is_always_rejected_is_given_up_on_the_record_and_never_sent_again(
    voting_status: VotingStatus | None, caplog: pytest.LogCaptureFixture
) -> None:
    scenario = Scenario(3, voting_status=voting_status)
    scenario.reject(1)
    with caplog.at_level(logging.ERROR, logger="aerotile"):
        report = scenario.run()
    assert [result.tile_id.x for result in report.given_up] == [1]
    assert report.rejected == ()
    assert (report.outcome, report.retries, report.next_retry_at_s) == (PARTIAL, 2, None)
    assert scenario.row(1).voting_status is VotingStatus.UPLOAD_GIVEUP
    assert scenario.pending == []
    (event,) = scenario.recorder.events
    assert (event.kind.value, event.severity.value) == ("c11.upload.giveup", "error")
    assert event.payload == {
        "tile": str(onboard(1)),
        "tile_uuid": str(onboard(1).tile_uuid),
        "attempts": 3,
        "reason": "refused: too ugly",
    }
    (line,) = caplog.records
    assert line.levelno == logging.ERROR
    assert line.getMessage() == f"c11.upload.giveup tile={onboard(1)} attempts=3 reason=refused: too ugly"
    before = len(scenario.sent)
    assert scenario.run() == UploadBatchReport(outcome=SUCCESS)
    assert len(scenario.sent) == before


def test_attempts_are_counted_across_calls() -> None:
    scenario = Scenario(1, budget=attrs.evolve(BUDGET, max_in_call_retries=0))
    scenario.reject(0)
    for attempts in (1, 2):
        assert scenario.run().given_up == ()
        assert scenario.row(0).upload_attempts == attempts
    assert [result.tile_id.x for result in scenario.run().given_up] == [0]
    assert scenario.clock.slept == []


def test_a_rejection_is_counted_before_the_next_batch_is_sent() -> None:
    scenario = Scenario(8)
    scenario.reject(0)
    counts: list[int] = []
    scenario.provider.refusal = lambda _: counts.append(scenario.row(0).upload_attempts)
    scenario.run()
    assert counts[:2] == [0, 1]


def test_an_uploader_that_tells_nothing_on_the_way_is_counted_by_its_report() -> None:
    scenario = Scenario(2)
    rejected = judge(scenario.row(0), TileWord(TileUploadOutcome.REJECTED, reason=UGLY))

    class Silent:
        def upload_pending_tiles(self, request: UploadRequest) -> UploadBatchReport:
            return UploadBatchReport(outcome=PARTIAL, accepted=1, rejected=(rejected,))

    report = scenario.run(scenario.retrying(Silent(), BUDGET))
    assert scenario.row(0).upload_attempts == 3
    assert (report.given_up, report.accepted) == ((rejected,), 3)


def test_a_tile_that_the_provider_voted_out_meanwhile_is_not_given_up_twice() -> None:
    scenario = Scenario(1)
    scenario.reject(0)

    def vote_out(_: object) -> None:
        if scenario.row(0).upload_attempts == 2:
            scenario.rows.update_voting_status(onboard(0), VotingStatus.REJECTED)

    scenario.provider.refusal = vote_out
    report = scenario.run()
    assert scenario.row(0).voting_status is VotingStatus.REJECTED
    assert (report.given_up, scenario.recorder.events) == ((), ())
    assert scenario.pending == []


def test_a_stopped_call_ends_between_batches_and_waits_no_more() -> None:
    scenario = Scenario(12)
    request = UploadRequest(after_batch=scenario.progress.append, stopped=lambda: len(scenario.progress) == 2)
    report = scenario.uploader.upload_pending_tiles(request)
    assert (report.outcome, report.accepted) == (PARTIAL, 8)
    assert scenario.pending == [8, 9, 10, 11]
    assert scenario.clock.slept == []


def test_a_wish_to_stop_during_the_wait_ends_the_call_whatever_the_uploader_makes_of_it() -> None:
    scenario = Scenario(1)
    calls: list[UploadRequest] = []

    class Deaf:
        def upload_pending_tiles(self, request: UploadRequest) -> UploadBatchReport:
            calls.append(request)
            return UploadBatchReport(outcome=PARTIAL)

    request = UploadRequest(stopped=lambda: bool(scenario.clock.slept))
    assert scenario.retrying(Deaf(), BUDGET).upload_pending_tiles(request).outcome is PARTIAL
    assert (len(calls), scenario.clock.slept) == (1, [2.0])


def test_a_call_that_is_stopped_when_all_is_done_is_a_success() -> None:
    scenario = Scenario(4)
    request = UploadRequest(after_batch=scenario.progress.append, stopped=lambda: bool(scenario.progress))
    assert scenario.uploader.upload_pending_tiles(request).outcome is SUCCESS


# --- whatever happens -----------------------------------------------------------------------------------

troubles = st.lists(
    st.none() | st.builds(problem, st.sampled_from(ProblemKind), st.none() | st.floats(0, 100)),
    max_size=30,
)


@given(
    count=st.integers(0, 30),
    rejected=st.sets(st.integers(0, 29), max_size=5),
    poisoned=st.none() | st.integers(0, 29),
    kind=st.sampled_from(ProblemKind),
    scripted=troubles,
    stores_first=st.booleans(),
    size=st.integers(1, 8),
    parallel=st.integers(1, 3),
)
def test_no_tile_is_lost_or_stored_twice_and_a_good_provider_ends_it(
    count: int,
    rejected: set[int],
    poisoned: int | None,
    kind: ProblemKind,
    scripted: list[UploadProblem | None],
    stores_first: bool,
    size: int,
    parallel: int,
) -> None:
    scenario = Scenario(count, limits=BatchLimits(max_tiles=size), parallel=parallel)
    scenario.reject(*rejected)
    scenario.provider.troubles.extend(scripted)
    scenario.provider.stores_first = stores_first
    if poisoned is not None:
        scenario.provider.refusal = containing(poisoned, kind)

    report = scenario.run()
    ours = {tile_id.tile_uuid: scenario.row(tile_id.x).content_sha256 for tile_id in scenario.ids}
    for x in range(count):
        row = scenario.row(x)
        if row.uploaded_at is not None:
            assert scenario.provider.stored[row.tile_uuid] == row.content_sha256
        assert row.upload_attempts <= BUDGET.max_per_tile_attempts
    assert set(scenario.provider.stored.items()) <= set(ours.items())
    assert len(scenario.clock.slept) == report.retries <= BUDGET.max_in_call_retries
    assert report.accepted + report.duplicates == len(scenario.uploaded)
    assert (report.outcome is SUCCESS) == (len(scenario.uploaded) == count)

    scenario.provider.troubles.clear()
    scenario.provider.refusal = lambda _: None
    scenario.bare.suspicions = attrs.evolve(scenario.bare.suspicions, group_sizes={})
    for _ in range(BUDGET.max_per_tile_attempts):
        scenario.run()
    assert scenario.pending == []
    given_up = {x for x in range(count) if scenario.row(x).voting_status is VotingStatus.UPLOAD_GIVEUP}
    assert set(scenario.uploaded) | given_up == set(range(count))
    assert set(scenario.uploaded).isdisjoint(given_up)
    assert {x for x in rejected if x < count} <= given_up
    assert len(scenario.recorder.events) == len(given_up)


class CrashError(Exception):
    """The process dies here."""


@given(count=st.integers(1, 12), crash_at=st.integers(0, 40), size=st.integers(1, 5))
def test_a_crash_between_any_two_steps_loses_nothing_and_doubles_nothing(
    count: int, crash_at: int, size: int
) -> None:
    scenario = Scenario(count, limits=BatchLimits(max_tiles=size))
    scenario.reject(2)
    steps = iter(range(10_000))

    class Dying:
        """Any part, whose calls may be the last thing that the process does, before or after their work."""

        def __init__(self, part: object) -> None:
            self._part = part

        def __getattr__(self, name: str) -> Callable[..., object]:
            method = getattr(self._part, name)

            def call(*arguments: object) -> object:
                if next(steps) == crash_at:
                    raise CrashError
                result = method(*arguments)
                if next(steps) == crash_at:
                    raise CrashError
                return result

            return call

    dying = PendingTileUploader(
        tiles=Dying(scenario.rows),  # type: ignore[arg-type] # every attribute is there at run time
        store=scenario.pixels,
        ledger=Dying(scenario.ledger),  # type: ignore[arg-type] # likewise
        link=Dying(scenario.provider),  # type: ignore[arg-type] # likewise
        clock=scenario.clock,
        limits=BatchLimits(max_tiles=size),
    )
    with suppress(CrashError):
        scenario.run(scenario.retrying(dying, BUDGET))
    for tile in (scenario.row(x) for x in scenario.uploaded):
        assert scenario.provider.stored[tile.tile_uuid] == tile.content_sha256
    for _ in range(BUDGET.max_per_tile_attempts):
        scenario.run()
    assert scenario.pending == []
    assert scenario.uploaded == [x for x in range(count) if x != 2]
    assert len(scenario.provider.stored) == len(scenario.uploaded)
