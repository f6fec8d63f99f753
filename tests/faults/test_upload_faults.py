"""Everything that can go wrong between here and the provider, over real sockets.

For each fault: what the operator sees, where the tiles stand, and that the next run finishes the job.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from provider_acts import (
    OTHER_HASH,
    TILES,
    Act,
    answer_garbage,
    answer_without_end,
    close_before_the_answer,
    drip_the_body,
    drip_the_head,
    finish,
    leave_tiles_out,
    name_other_hashes,
    reset_before_the_answer,
    reset_mid_body,
    send_a_bomb,
    send_headers_without_end,
    speak_no_http,
    status,
    swallow,
    truncate_the_answer,
)

pytestmark = pytest.mark.faults


@attrs.frozen
class Case:
    """A fault that every request of a run meets, and what follows from it."""

    act: Act
    line: str
    """What the operator's last line holds."""
    code: str
    """The reason in the list."""
    event: str = "unanswered"
    uploaded: int = 0
    attempts: int = 0
    settings: dict[str, object] = attrs.field(factory=dict)


SOON = {"upload_request_timeout_s": 0.5}
CASES = {
    "reset mid-body": Case(reset_mid_body, "connection_lost", "connection_lost"),
    "reset before the answer": Case(reset_before_the_answer, "connection_lost", "connection_lost"),
    "closed before the answer": Case(close_before_the_answer, "connection_lost", "connection_lost"),
    "truncated answer": Case(truncate_the_answer, "connection_lost", "connection_lost"),
    "garbage": Case(answer_garbage, "the answer is not JSON", "garbled_answer"),
    "no HTTP": Case(speak_no_http, "connection_lost", "connection_lost"),
    "wrong hash": Case(
        name_other_hashes, f"the provider holds SHA-256 {OTHER_HASH}", "stored_hash_differs", "rejected", 0, 1
    ),
    "missing tiles": Case(
        leave_tiles_out, "does not name the tile", "left_out_of_answer", "unanswered", TILES // 2
    ),
    "400": Case(
        status(400), "http_400: the provider answered with status 400: some_code: No: why", "http_400"
    ),
    "401": Case(status(401), "check upload.token or upload.token_file", "http_401"),
    "403": Case(status(403), "http_403: the provider answered with status 403", "http_403"),
    "404": Case(status(404), "check upload.url", "http_404"),
    "408": Case(status(408), "http_408", "http_408"),
    "413": Case(status(413), "http_413", "http_413", "rejected", 0, 1),
    "429 in seconds": Case(status(429, Retry_After="7"), "http_429", "http_429"),
    "429 as a date": Case(status(429, Retry_After="Fri, 01 May 2026 12:00:30 GMT"), "http_429", "http_429"),
    "500": Case(status(500), "http_500", "http_500"),
    "503": Case(status(503), "http_503", "http_503"),
    "slow drip in the head": Case(drip_the_head, "too_slow", "too_slow", settings=SOON),
    "slow drip in the body": Case(drip_the_body, "too_slow", "too_slow", settings=SOON),
    "black hole": Case(swallow, "not over after 0.5 s", "too_slow", settings=SOON),
    "gzip bomb": Case(send_a_bomb, "the answer is compressed", "garbled_answer"),
    "endless headers": Case(send_headers_without_end, "connection_lost", "connection_lost"),
    "endless answer": Case(answer_without_end, "larger than 1048576 bytes", "garbled_answer"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_told_costs_nothing_and_the_next_run_finishes(
    flown: Any, scripted_provider: Callable[..., Any], name: str
) -> None:
    case, provider = CASES[name], scripted_provider()
    provider.always = case.act
    result = flown.call("upload", upload_url=provider.url, **case.settings)
    assert result.code == 1
    last_line = result.err.splitlines()[-1]
    left = TILES - case.uploaded
    assert last_line.startswith(f"error: {left} tiles are left pending: ")
    assert case.line in last_line
    assert "run aerotile upload again" in last_line
    assert "Traceback" not in result.err
    listed = flown.uploads()
    assert [e["state"] for e in listed].count("uploaded") == case.uploaded
    told = [e for e in listed if e["state"] == "pending" and e["last_event"] is not None]
    assert {e["reason_code"] for e in told} == {case.code}
    assert {e["last_event"] for e in told} == {case.event}
    assert {e["upload_attempts"] for e in told} == {case.attempts}
    finish(flown, provider)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"wrong hash", "413"}))
def test_a_fault_that_passes_is_outlived_by_one_run(
    flown: Any, scripted_provider: Callable[..., Any], name: str
) -> None:
    case, provider = CASES[name], scripted_provider()
    provider.acts = [case.act]
    result = flown.call("upload", upload_url=provider.url, upload_max_in_call_retries=2, **case.settings)
    permanent = case.code in ("http_401", "http_403", "http_404")
    assert result.code == permanent
    finish(flown, provider)
