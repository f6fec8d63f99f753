"""A pass with unanswered requests: when it ends, which batches are halved, which tile is to blame."""

from __future__ import annotations

import pytest
from upload_scenario import FAILURE, PARTIAL, SUCCESS, Scenario, containing, problem

from aerotile.domain.policies.upload_batching import BatchLimits
from aerotile.domain.uploads.judge_answer import judge
from aerotile.domain.values.upload_reports import ProblemKind, TileAnswer, TileUploadOutcome


@pytest.mark.parametrize("outcome", [TileUploadOutcome.ACCEPTED, TileUploadOutcome.DUPLICATE])
@pytest.mark.parametrize("claimed", ["b" * 64, None])
def test_an_answer_with_another_hash_is_not_believed(outcome: TileUploadOutcome, claimed: str | None) -> None:
    tile = Scenario(1).row(0)
    result = judge(tile, TileAnswer(outcome, stored_sha256=claimed))
    assert not result.taken
    assert result.outcome is TileUploadOutcome.REJECTED
    assert result.reason is not None
    assert result.reason.code == "stored_hash_differs"


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
def test_a_provider_that_never_answers_is_left_alone_after_three_requests(kind: ProblemKind) -> None:
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


def test_tiles_that_are_refused_one_by_one_count_as_answered() -> None:
    scenario = Scenario(6, limits=BatchLimits(max_tiles=1))
    scenario.provider.refusal = lambda _: problem(ProblemKind.UNREADABLE_BATCH)
    report = scenario.run(scenario.bare)
    assert (report.outcome, len(report.rejected)) == (PARTIAL, 6)
