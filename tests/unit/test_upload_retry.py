"""When an upload goes on, waits or ends: tables first, then what holds whatever happens."""

from __future__ import annotations

import math
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.policies.upload_retry import (
    Finish,
    RetryBudget,
    WaitAndRetry,
    backoff_s,
    decide_after_call,
    is_given_up,
)
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.domain.values.upload_reports import (
    BatchOutcome,
    ProblemKind,
    TileUploadOutcome,
    TileUploadResult,
    UploadBatchReport,
    UploadProblem,
    UploadReason,
)

SUCCESS, PARTIAL, FAILURE = BatchOutcome.SUCCESS, BatchOutcome.PARTIAL, BatchOutcome.FAILURE
BUDGET = RetryBudget(max_in_call_retries=3, max_per_tile_attempts=5, backoff_base_s=2.0, backoff_cap_s=5.0)
NOW_S = 1_790_000_000.0
TILE = TileUploadResult(
    tile_id=TileId(3, 4, 2, TileSource.ONBOARD, UUID(int=7)),
    content_sha256="a" * 64,
    outcome=TileUploadOutcome.REJECTED,
    attempts_before=0,
)

budgets = st.builds(
    RetryBudget,
    max_in_call_retries=st.integers(0, 100),
    max_per_tile_attempts=st.integers(1, 100),
    backoff_base_s=st.floats(0.01, 1e6),
    backoff_cap_s=st.floats(0.01, 1e6),
)
problems = st.builds(
    UploadProblem,
    kind=st.sampled_from(ProblemKind),
    reason=st.just(UploadReason("code", "detail")),
    retry_after_s=st.none() | st.floats(-1e9, 1e300),
)
reports = st.builds(
    UploadBatchReport,
    outcome=st.sampled_from(BatchOutcome),
    rejected=st.just(()) | st.just((TILE,)),
    given_up=st.just(()) | st.just((TILE,)),
    problem=st.none() | problems,
)


def problem(kind: ProblemKind, retry_after_s: float | None = None) -> UploadProblem:
    return UploadProblem(kind=kind, reason=UploadReason("code", "detail"), retry_after_s=retry_after_s)


def decided(retries: int, report: UploadBatchReport) -> WaitAndRetry | Finish:
    return decide_after_call(retries, report, now_s=NOW_S, budget=BUDGET)


def test_a_call_that_left_something_waits_longer_each_time_up_to_the_cap() -> None:
    report = UploadBatchReport(outcome=PARTIAL, rejected=(TILE,))
    assert [decided(retries, report) for retries in range(3)] == [
        WaitAndRetry(2.0),
        WaitAndRetry(4.0),
        WaitAndRetry(5.0),
    ]


def test_a_spent_budget_says_when_another_call_makes_sense() -> None:
    assert decided(3, UploadBatchReport(outcome=PARTIAL, rejected=(TILE,))) == Finish(NOW_S + 5.0)


@pytest.mark.parametrize("kind", [k for k in ProblemKind if k.may_pass_soon])
def test_a_failure_that_passes_by_itself_is_tried_again(kind: ProblemKind) -> None:
    assert decided(0, UploadBatchReport(outcome=FAILURE, problem=problem(kind))) == WaitAndRetry(2.0)


@pytest.mark.parametrize("kind", [k for k in ProblemKind if not k.may_pass_soon])
@pytest.mark.parametrize("outcome", [PARTIAL, FAILURE])
def test_what_no_waiting_mends_ends_the_call_at_once(kind: ProblemKind, outcome: BatchOutcome) -> None:
    assert decided(0, UploadBatchReport(outcome=outcome, problem=problem(kind))) == Finish(None)


def test_a_success_ends_the_call() -> None:
    assert decided(0, UploadBatchReport(outcome=SUCCESS)) == Finish(None)


def test_a_call_that_left_only_given_up_tiles_ends() -> None:
    assert decided(0, UploadBatchReport(outcome=PARTIAL, given_up=(TILE,))) == Finish(None)
    assert isinstance(
        decided(0, UploadBatchReport(outcome=PARTIAL, given_up=(TILE,), rejected=(TILE,))), WaitAndRetry
    )


@pytest.mark.parametrize(
    ("asked", "waited"), [(0.0, 0.0), (1.5, 1.5), (4.9, 4.9), (5.0, 5.0), (3600.0, 5.0), (-3.0, 0.0)]
)
def test_the_providers_wish_replaces_the_backoff_up_to_the_cap(asked: float, waited: float) -> None:
    report = UploadBatchReport(outcome=FAILURE, problem=problem(ProblemKind.BUSY, asked))
    assert decided(2, report) == WaitAndRetry(waited)


@pytest.mark.parametrize(("attempts", "given_up"), [(1, False), (4, False), (5, True), (6, True)])
def test_a_tile_is_given_up_at_its_last_attempt_and_beyond(attempts: int, given_up: bool) -> None:
    assert is_given_up(attempts, BUDGET) is given_up


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_in_call_retries", -1),
        ("max_in_call_retries", True),
        ("max_per_tile_attempts", 0),
        ("max_per_tile_attempts", 1.5),
        ("backoff_base_s", 0),
        ("backoff_base_s", math.nan),
        ("backoff_cap_s", math.inf),
        ("backoff_cap_s", "5"),
    ],
)
def test_an_impossible_budget_is_refused_by_value(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        RetryBudget(**{field: value})  # type: ignore[arg-type] # wrong on purpose


@given(st.integers(1, 10**9), budgets)
def test_a_backoff_is_the_formula_however_large_its_terms(attempt: int, budget: RetryBudget) -> None:
    try:
        formula = min(budget.backoff_base_s**attempt, budget.backoff_cap_s)
    except OverflowError:
        formula = budget.backoff_cap_s
    assert math.isclose(backoff_s(attempt, budget), formula, rel_tol=1e-9, abs_tol=1e-300)


@given(reports, budgets)
def test_however_calls_end_their_number_and_each_wait_are_bounded(
    report: UploadBatchReport, budget: RetryBudget
) -> None:
    for retries in range(budget.max_in_call_retries + 1):
        decision = decide_after_call(retries, report, now_s=NOW_S, budget=budget)
        if isinstance(decision, Finish):
            assert decision.next_retry_at_s in (None, NOW_S + budget.backoff_cap_s)
            return
        assert 0 <= decision.wait_s <= budget.backoff_cap_s
    raise AssertionError("the call never ended")
