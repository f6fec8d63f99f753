"""Calls that try again: the waits, the attempts that are counted, giving up, and a wish to stop."""

from __future__ import annotations

import logging
from datetime import timedelta

import attrs
import pytest
from upload_scenario import BUDGET, FAILURE, NOON, PARTIAL, SUCCESS, UGLY, Scenario, onboard, problem

from aerotile.domain.uploads.judge_answer import judge
from aerotile.domain.values.tiles import VotingStatus
from aerotile.domain.values.upload_reports import (
    ProblemKind,
    TileAnswer,
    TileUploadOutcome,
    UploadBatchReport,
    UploadRequest,
)


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

    class Silent:
        def upload_pending_tiles(self, request: UploadRequest) -> UploadBatchReport:
            rejected = judge(scenario.row(0), TileAnswer(TileUploadOutcome.REJECTED, reason=UGLY))
            return UploadBatchReport(outcome=PARTIAL, accepted=1, rejected=(rejected,))

    report = scenario.run(scenario.retrying(Silent(), BUDGET))
    assert scenario.row(0).upload_attempts == 3
    assert ([result.tile_id for result in report.given_up], report.accepted) == ([onboard(0)], 3)


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
