"""Everything that can go wrong between here and the provider, over real sockets.

For each fault: what the operator sees, where the tiles stand, and that the next run finishes the job.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import attrs
import pytest

pytestmark = pytest.mark.faults

TILES = 6
Act = Callable[[Any], None]
OTHER_HASH = "0" * 64


def reset_mid_body(exchange: Any) -> None:
    exchange.receive_body(exchange.length // 2)
    exchange.reset()


def reset_before_the_answer(exchange: Any) -> None:
    exchange.store()
    exchange.reset()


def close_before_the_answer(exchange: Any) -> None:
    exchange.store()
    exchange.close()


def truncate_the_answer(exchange: Any) -> None:
    body = json.dumps({"results": exchange.store()}).encode()
    exchange.answer(200, body[: len(body) // 2], Content_Length=str(len(body)))
    exchange.close()


def answer_garbage(exchange: Any) -> None:
    exchange.store()
    exchange.answer(200, b"<html>Welcome to the hotel network</html>", Content_Type="text/html")


def speak_no_http(exchange: Any) -> None:
    exchange.receive_body()
    exchange.send(b"220 mail.example ESMTP ready\r\n")
    exchange.close()


def name_other_hashes(exchange: Any) -> None:
    exchange.answer(200, {"results": [result | {"stored_sha256": OTHER_HASH} for result in exchange.store()]})


def leave_tiles_out(exchange: Any) -> None:
    exchange.answer(200, {"results": exchange.store()[::2]})


def name_tiles_twice(exchange: Any) -> None:
    exchange.answer(200, {"results": exchange.store() * 2})


def say_duplicate(exchange: Any) -> None:
    exchange.answer(200, {"results": [r | {"outcome": "duplicate"} for r in exchange.store()]})


def drip_the_head(exchange: Any) -> None:
    exchange.receive_body()
    exchange.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not exchange.provider.ended.wait(0.05):
        exchange.send(b"a")


def drip_the_body(exchange: Any) -> None:
    exchange.store()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not exchange.provider.ended.wait(0.05):
        exchange.send(b" ")


def swallow(exchange: Any) -> None:
    exchange.provider.ended.wait()


def send_a_bomb(exchange: Any) -> None:
    exchange.receive_body()
    exchange.answer(200, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")


def answer_without_end(exchange: Any) -> None:
    exchange.receive_body()
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not exchange.provider.ended.is_set():
        exchange.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def send_headers_without_end(exchange: Any) -> None:
    exchange.receive_body()
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while not exchange.provider.ended.is_set():
        exchange.send(b"X-More: " + b"a" * 10_000 + b"\r\n")


def status(number: int, **headers: str) -> Act:
    def act(exchange: Any) -> None:
        exchange.receive_body()
        problem = {"type": "urn:aerotile:problem:some_code", "title": "No", "status": number, "detail": "why"}
        exchange.answer(number, problem, **headers)

    return act


def refuse_unread(exchange: Any) -> None:
    exchange.answer(401, Connection="close")
    exchange.close()


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


@pytest.fixture
def flown(site: Any, onboard_tile: Callable[..., Any]) -> Any:
    """A site with `TILES` pending tiles."""
    site.fly([onboard_tile(x) for x in range(TILES)])
    return site


def finish(site: Any, provider: Any) -> None:
    """The next run, over a good connection, finishes the job."""
    provider.acts.clear()
    provider.always = obey
    result = site.call("upload", upload_url=provider.url)
    assert (result.code, result.err) == (0, "")
    assert site.states() == {"uploaded": TILES}
    ours = {entry["tile_uuid"]: entry["content_sha256"] for entry in site.uploads()}
    assert provider.stored == ours
    assert set(provider.accepted.values()) == {1}


def obey(exchange: Any) -> None:
    exchange.answer(200, {"results": exchange.store()})


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


def test_a_redirect_is_not_followed_and_the_other_host_gets_nothing(
    flown: Any, scripted_provider: Callable[..., Any]
) -> None:
    provider, other = scripted_provider(), scripted_provider()

    def redirect(exchange: Any) -> None:
        exchange.receive_body()
        exchange.answer(307, Location=f"{other.url}/v1/tiles:batch")

    provider.always = redirect
    result = flown.call("upload", upload_url=provider.url)
    assert result.code == 1
    assert f"it redirects to {other.url}/v1/tiles:batch, which is not followed" in result.err
    assert other.requests == []
    assert flown.states() == {"pending": TILES}
    finish(flown, provider)


@pytest.mark.parametrize("served", ["expired", "foreign", "misnamed"])
def test_a_bad_certificate_ends_it_before_a_token_or_a_tile_is_sent(
    flown: Any, scripted_provider: Callable[..., Any], certificates: Any, served: str
) -> None:
    provider = scripted_provider(certificates[served])
    trusted = certificates["authority"]
    result = flown.call("upload", upload_url=provider.url, upload_ca_file=trusted)
    assert result.code == 1
    assert "certificate_refused" in result.err
    assert "check this machine's clock, upload.ca_file" in result.err
    assert provider.requests == []
    assert flown.states() == {"pending": TILES}
    good = scripted_provider(certificates["good"])
    assert flown.call("upload", upload_url=good.url, upload_ca_file=trusted).code == 0
    assert flown.states() == {"uploaded": TILES}


def test_http_on_an_https_port_and_the_other_way_round_are_told(
    flown: Any, scripted_provider: Callable[..., Any], certificates: Any
) -> None:
    plain, secure = scripted_provider(), scripted_provider(certificates["good"])
    result = flown.call(
        "upload", upload_url=plain.url.replace("http:", "https:"), upload_connect_timeout_s=0.5
    )
    assert result.code == 1
    assert "error: 6 tiles are left pending: " in result.err
    result = flown.call("upload", upload_url=secure.url.replace("https:", "http:"))
    assert result.code == 1
    assert "error: 6 tiles are left pending: " in result.err


def test_the_token_travels_in_its_header_only_and_is_shown_nowhere(
    flown: Any, scripted_provider: Callable[..., Any]
) -> None:
    provider = scripted_provider()
    provider.acts = [status(503)]
    result = flown.call("upload", "-vv", "--json", upload_url=provider.url, upload_max_in_call_retries=1)
    assert result.code == 0
    (headers, *_) = provider.requests
    assert headers.pop("authorization") == "Bearer t0ps3cr3t-t0k3n"
    assert headers.pop("accept-encoding") == "identity"
    assert "cookie" not in headers
    assert "t0ps3cr3t" not in json.dumps(headers) + result.out + result.err
    status_of_all = flown.call("status", upload_url=provider.url)
    assert "t0ps3cr3t" not in status_of_all.out + status_of_all.err
    record = b"".join(path.read_bytes() for path in (flown.root / "record").iterdir())
    assert b"t0ps3cr3t" not in record


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


def test_a_black_hole_behind_tls_costs_no_more_than_its_deadline(
    flown: Any, scripted_provider: Callable[..., Any], certificates: Any
) -> None:
    provider = scripted_provider(certificates["good"])
    provider.acts = [swallow]
    trusted = certificates["authority"]
    result = flown.call(
        "upload",
        upload_url=provider.url,
        upload_ca_file=trusted,
        upload_request_timeout_s=0.5,
        upload_max_in_call_retries=1,
    )
    assert result.code == 0
    assert flown.states() == {"uploaded": TILES}


def test_cookies_are_not_kept(flown: Any, scripted_provider: Callable[..., Any]) -> None:
    provider = scripted_provider()

    def bake(exchange: Any) -> None:
        exchange.answer(200, {"results": exchange.store()}, Set_Cookie="a=b; Path=/")

    provider.acts = [bake]
    assert flown.call("upload", upload_url=provider.url).code == 0
    assert ["cookie" in headers for headers in provider.requests] == [False, False]


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
    assert last.code == 0
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
