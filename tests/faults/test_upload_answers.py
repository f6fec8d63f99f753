"""What a provider may say to an upload, over real sockets: early, twice, by halves, later, or never yes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from provider_acts import TILES, finish, name_tiles_twice, refuse_unread, say_duplicate, status
from scripted_provider import obey

pytestmark = pytest.mark.faults


def test_a_refused_connection_is_told(flown: Any, scripted_provider: Callable[..., Any]) -> None:
    gone = scripted_provider()
    gone.close()
    result = flown.call("upload", upload_url=gone.url)
    assert result.code == 1
    assert result.err.startswith(
        f"error: 6 tiles are left pending: unreachable: {gone.url}: Connection refused — check upload.url"
    )
    assert {e["last_event"] for e in flown.uploads()} == {"unanswered", None}
    finish(flown, scripted_provider())


def test_an_answer_before_the_body_was_read_is_still_heard(
    site: Any, scripted_provider: Callable[..., Any], onboard_tile: Callable[..., Any]
) -> None:
    site.fly([onboard_tile(x, 1_000_000) for x in range(4)])
    provider = scripted_provider()
    provider.always = refuse_unread
    result = site.call("upload", upload_url=provider.url)
    assert result.code == 1
    # The reset that follows such an answer may overtake it.
    assert "http_401" in result.err or "connection_lost" in result.err
    assert site.states() == {"pending": 4}


def test_repeated_results_and_duplicates_count_once(
    flown: Any, scripted_provider: Callable[..., Any]
) -> None:
    provider = scripted_provider()
    provider.acts = [name_tiles_twice, say_duplicate]
    result = flown.call("upload", upload_url=provider.url)
    assert result.code == 0
    assert "6 tiles uploaded (2 of them were there before)" in result.out
    finish(flown, provider)


def test_batches_are_halved_until_the_provider_takes_them(
    flown: Any, scripted_provider: Callable[..., Any]
) -> None:
    provider = scripted_provider()

    def take_two(exchange: Any) -> None:
        exchange.receive_body()
        if len(list(exchange.tiles())) > 2:
            exchange.answer(413)
        else:
            obey(exchange)

    provider.always = take_two
    assert flown.call("upload", upload_url=provider.url).code == 0
    assert len(provider.requests) == 4
    finish(flown, provider)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_what_the_provider_asks_to_wait_is_waited_up_to_the_cap(
    flown: Any, scripted_provider: Callable[..., Any], form: str
) -> None:
    provider = scripted_provider()
    now = datetime.now(timezone.utc)
    until = format_datetime(now + timedelta(seconds=3600), usegmt=True)
    headers = {"Retry_After": "3600" if form == "seconds" else until}
    provider.acts = [status(503, **headers), status(429, **headers)]
    started = time.monotonic()
    result = flown.call(
        "upload", "-v", upload_url=provider.url, upload_max_in_call_retries=2, upload_backoff_cap_s=0.3
    )
    assert result.code == 0
    assert time.monotonic() - started >= 0.6
    assert result.err.count("trying again in 0.3 s") == 2
    finish(flown, provider)


def test_a_provider_below_a_path_is_asked_there(flown: Any, scripted_provider: Callable[..., Any]) -> None:
    provider, lines = scripted_provider(), []

    def note(exchange: Any) -> None:
        lines.append(exchange.request_line)
        obey(exchange)

    provider.always = note
    for base in ("/maps/north", "/maps/north/"):
        site_result = flown.call("upload", upload_url=provider.url + base)
        assert site_result.code == 0
    assert lines == ["POST /maps/north/v1/tiles:batch HTTP/1.1"] * 2


def test_a_tile_that_is_always_rejected_is_given_up_listed_recorded_and_left_alone(
    flown: Any, scripted_provider: Callable[..., Any]
) -> None:
    provider = scripted_provider()
    victim = flown.uploads()[1]

    def reject_one(exchange: Any) -> None:
        reason = {"code": "refused", "detail": "never\x1b[2J"}
        results = [
            {"tile_uuid": r["tile_uuid"], "outcome": "rejected", "reason": reason}
            if r["tile_uuid"] == victim["tile_uuid"]
            else r
            for r in exchange.store()
        ]
        exchange.answer(200, {"results": results})

    provider.always = reject_one
    settings = {"upload_url": provider.url, "upload_max_per_tile_attempts": 3}
    first = flown.call("upload", **settings)
    assert first.code == 1
    assert f"rejected: {victim['tile']}: refused: never" in first.err
    last = flown.call("upload", upload_max_in_call_retries=3, **settings)
    assert last.code == 1
    assert f"given up: {victim['tile']}: refused: never" in last.err
    assert f"ERROR aerotile.upload: c11.upload.giveup tile={victim['tile']} attempts=3" in last.err
    assert "\x1b" not in last.err
    assert "0 tiles uploaded, 1 given up, 0 left pending" in last.out
    assert flown.states() == {"uploaded": TILES - 1, "given_up": 1}
    given_up = flown.call("uploads", "--state", "given_up").out
    assert victim["tile"] in given_up
    assert "refused: never" in given_up
    assert "c11.upload.giveup" in flown.call("record", "--kind", "c11.*").out
    before = len(provider.requests)
    assert flown.call("upload", **settings).code == 0
    assert len(provider.requests) == before

    provider.always = obey
    again = flown.call("uploads", "requeue", victim["tile"])
    assert again.code == 0
    assert "pending again" in again.out
    assert "c11.upload.requeued" in flown.call("record", "--kind", "c11.upload.requeued").out
    provider.stored.pop(victim["tile_uuid"], None)
    assert flown.call("upload", **settings).code == 0
    assert flown.states() == {"uploaded": TILES}
