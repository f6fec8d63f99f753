"""What a tile server's answer means, and how long is waited after it."""

from __future__ import annotations

import pytest

from aerotile.domain.policies.tile_fetching import (
    AnswerKind,
    AskAgain,
    Failure,
    FetchLimits,
    GiveUp,
    after_failure,
    judge_answer,
    next_start_s,
)

_LIMITS = FetchLimits(
    backoff_base_s=1.0, throttled_base_s=4.0, backoff_cap_s=30.0, max_attempts=5, max_outage_s=300.0
)
_JPEG = b"\xff\xd8\xff\xe0 and so on"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, _JPEG, AnswerKind.PICTURE),
        (200, b"\x89PNG\r\n\x1a\n", AnswerKind.PICTURE),
        (200, b"RIFF\0\0\0\0WEBPVP8 ", AnswerKind.PICTURE),
        (200, b"", AnswerKind.GARBAGE),
        (200, b"<html>", AnswerKind.GARBAGE),
        (200, b'{"a": 1}', AnswerKind.GARBAGE),
        (206, _JPEG, AnswerKind.GARBAGE),
        (204, b"", AnswerKind.NOTHING_THERE),
        (404, _JPEG, AnswerKind.NOTHING_THERE),
        (410, b"", AnswerKind.NOTHING_THERE),
        (401, b"", AnswerKind.REFUSED),
        (403, _JPEG, AnswerKind.REFUSED),
        (429, _JPEG, AnswerKind.FAILED),
        (500, _JPEG, AnswerKind.FAILED),
        (503, b"", AnswerKind.FAILED),
        (302, b"", AnswerKind.GARBAGE),
        (400, _JPEG, AnswerKind.GARBAGE),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, kind: AnswerKind) -> None:
    assert judge_answer(status, body).kind is kind


def _failure(
    attempts: int = 1,
    *,
    asked: float | None = None,
    strikes: int = 0,
    silent: float = 0.0,
    throttled: bool = False,
    answered: bool = True,
) -> Failure:
    return Failure(
        attempts=attempts,
        retry_after_s=asked,
        is_throttled=throttled,
        has_answered=answered,
        strikes=strikes,
        silent_for_s=silent,
    )


def test_the_back_off_doubles_up_to_its_cap_and_at_most_half_of_it_is_chance() -> None:
    for attempts, longest in enumerate([1, 2, 4, 8, 16, 30, 30, 30], start=1):
        for share in (0.0, 1.0):
            decision = after_failure(_failure(attempts), share, _LIMITS)
            assert decision == AskAgain(longest * (0.5 + share / 2), everybody=False)
    assert after_failure(_failure(10_000), 1.0, _LIMITS) == AskAgain(30.0, everybody=False)


def test_a_tile_is_given_up_only_where_the_server_answers_others() -> None:
    assert after_failure(_failure(9, strikes=5), 0.5, _LIMITS) is GiveUp.TILE
    assert isinstance(after_failure(_failure(9, strikes=4), 0.5, _LIMITS), AskAgain)
    assert isinstance(after_failure(_failure(50, silent=299.0), 0.5, _LIMITS), AskAgain)
    assert after_failure(_failure(2, silent=301.0), 0.5, _LIMITS) is GiveUp.RUN


def test_a_retry_after_is_heeded_whole_by_everybody_or_ends_the_run() -> None:
    assert after_failure(_failure(asked=300.0), 0.5, _LIMITS) == AskAgain(300.0, everybody=True)
    assert after_failure(_failure(asked=300.1), 0.5, _LIMITS) is GiveUp.RUN
    # A server that names no time, or none that passes, is not asked at once.
    assert after_failure(_failure(asked=0.0), 1.0, _LIMITS) == AskAgain(1.0, everybody=True)
    assert after_failure(_failure(throttled=True), 1.0, _LIMITS) == AskAgain(4.0, everybody=True)


def test_a_server_that_never_answered_is_given_up_sooner_unless_it_names_a_time() -> None:
    assert after_failure(_failure(9, silent=20.1, answered=False), 0.5, _LIMITS) is GiveUp.RUN
    assert isinstance(after_failure(_failure(9, silent=19.9, answered=False), 0.5, _LIMITS), AskAgain)
    waits = after_failure(_failure(9, silent=25.0, answered=False, asked=40.0), 0.5, _LIMITS)
    assert waits == AskAgain(40.0, everybody=True)


def test_requests_start_no_sooner_than_rate_and_pause_allow() -> None:
    limits = FetchLimits(requests_per_second=4.0)
    assert next_start_s(10.0, None, 0.0, limits) == 10.0
    assert next_start_s(10.0, 9.9, 0.0, limits) == 10.15
    assert next_start_s(10.0, 5.0, 0.0, limits) == 10.0
    assert next_start_s(10.0, 9.9, 60.0, limits) == 60.0


@pytest.mark.parametrize(
    ("name", "value"),
    [("connections", 0), ("max_attempts", 1.5), ("requests_per_second", 0.0), ("max_outage_s", float("inf"))],
)
def test_limits_that_are_none_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        FetchLimits(**{name: value})  # type: ignore[arg-type] # wrong on purpose
