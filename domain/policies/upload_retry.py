"""When an upload is tried again and when it is given up: two bounded budgets, decided here, done elsewhere.

In call: a call that left something is repeated up to `max_in_call_retries` times. Per tile, across calls: a
tile that was rejected `max_per_tile_attempts` times is given up.
"""

from __future__ import annotations

import math

import attrs

from ..values.upload_reports import BatchOutcome, UploadBatchReport
from ..values.validators import is_real, is_whole, plain_numbers


@attrs.frozen(kw_only=True, field_transformer=plain_numbers)
class RetryBudget:
    """How often and how patiently. Raises `ValueError` with the offending value."""

    max_in_call_retries: int = 3
    max_per_tile_attempts: int = 5
    backoff_base_s: float = 2.0
    backoff_cap_s: float = 60.0

    def __attrs_post_init__(self) -> None:
        for name, low in (("max_in_call_retries", 0), ("max_per_tile_attempts", 1)):
            value = getattr(self, name)
            if not is_whole(value) or value < low:
                raise ValueError(f"{name} must be a whole number of {low} or more, got {value!r}")
        for name in ("backoff_base_s", "backoff_cap_s"):
            value = getattr(self, name)
            if not is_real(value) or not 0 < value < math.inf:
                raise ValueError(f"{name} must be a finite number greater than 0, got {value!r}")


@attrs.frozen
class WaitAndRetry:
    """Let `wait_s` seconds pass and go over what is left."""

    wait_s: float


@attrs.frozen
class Finish:
    """The call is over; `next_retry_at_s`, seconds since 1970, says when another one makes sense."""

    next_retry_at_s: float | None


def backoff_s(attempt: int, budget: RetryBudget) -> float:
    """`min(base ** attempt, cap)` seconds before retry number `attempt`, which counts from 1."""
    exponent = attempt * math.log(budget.backoff_base_s)
    if exponent >= math.log(budget.backoff_cap_s):
        return float(budget.backoff_cap_s)
    return float(budget.backoff_base_s**attempt)


def decide_after_call(
    retries: int, report: UploadBatchReport, *, now_s: float, budget: RetryBudget
) -> WaitAndRetry | Finish:
    """What follows a call that `retries` retries preceded; `report.given_up` is already settled.

    A call is repeated when it was partial, and when it failed over something that passes by itself. A
    provider's `Retry-After` takes the place of the backoff, up to the cap.
    """
    if not _is_worth_another_try(report):
        return Finish(None)
    if retries >= budget.max_in_call_retries:
        return Finish(now_s + budget.backoff_cap_s)
    if report.retry_after_s is not None:
        return WaitAndRetry(min(max(0.0, report.retry_after_s), budget.backoff_cap_s))
    return WaitAndRetry(backoff_s(retries + 1, budget))


def _is_worth_another_try(report: UploadBatchReport) -> bool:
    if report.problem is not None and not report.problem.kind.may_pass_soon:
        return False
    if report.outcome is BatchOutcome.PARTIAL:
        only_given_up = report.given_up and not (report.rejected or report.unanswered or report.problem)
        return not only_given_up
    return report.outcome is BatchOutcome.FAILURE and report.problem is not None


def is_given_up(attempts: int, budget: RetryBudget) -> bool:
    """Whether a tile that was rejected `attempts` times has had its last attempt."""
    return attempts >= budget.max_per_tile_attempts
