"""What a provider, or the network before it, may do to an upload; and the run that finishes the job."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from scripted_provider import obey

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
