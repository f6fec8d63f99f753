"""Requests that the reference provider refuses whole, and what it says of them."""

from __future__ import annotations

import socket
from pathlib import Path
from uuid import uuid5

import httpx
import pytest
from provider_requests import JPEG, NAMESPACE, TOKEN, files, frame, headers_of, problem, results, send

from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.server import ReferenceProvider

MALFORMED = {
    "empty": b"",
    "half a length": b"\0\0",
    "no header": b"\0\0\0\x10",
    "header of no length": b"\0\0\0\0",
    "header that is too long": b"\0\0\x40\x01" + b" " * 0x4001,
    "header that is no JSON": b"\0\0\0\x02{]",
    "header that is no object": b"\0\0\0\x02[]",
    "header that is no UTF-8": b'\0\0\0\x04"\xff\xfe"',
    "header that is nested deeply": b"\0\0\x3f\xff" + b"[" * 0x3FFF,
    "number that is no JSON": frame(1, ground_sample_distance=float("nan")),
    "no name": frame(1, tile_uuid="left out"),
    "name that is no UUID": frame(1, tile_uuid="one"),
    "name in capitals": frame(1, tile_uuid=str(uuid5(NAMESPACE, "a")).upper()),
    "no length": frame(1, disk_bytes="left out"),
    "negative length": frame(1, disk_bytes=-1),
    "true for a length": frame(1, disk_bytes=True),
    "tile that is cut": frame(1)[:-1],
    "something after the last tile": frame(1) + b"\n",
    "the same tile twice": frame(1) + frame(1),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_does_not_add_up_is_refused_whole(
    provider: ReferenceProvider, folder: Path, body: bytes
) -> None:
    body = body if body in (b"", b"\0\0") else frame(7) + body
    assert problem(send(provider, body)) == (400, "malformed_batch")
    assert files(folder) == {}


REFUSED_HEADERS = [
    (401, "unauthorized", {"Authorization": None}),
    (401, "unauthorized", {"Authorization": "Bearer another"}),
    (401, "unauthorized", {"Authorization": f"Basic {TOKEN}"}),
    (400, "unsupported_protocol", {"Aerotile_Protocol": None}),
    (400, "unsupported_protocol", {"Aerotile_Protocol": "2"}),
    (400, "digest_missing", {"Content_Digest": None}),
    (400, "digest_missing", {"Content_Digest": "md5=:AAAA:"}),
    (400, "digest_missing", {"Content_Digest": "sha-256=:A:"}),
    (400, "digest_mismatch", {"Content_Digest": f"sha-256=:{'A' * 43}=:"}),
    (415, "unsupported_media_type", {"Content_Type": "application/json"}),
    (415, "unsupported_media_type", {"Content_Encoding": "gzip"}),
]


@pytest.mark.parametrize(("status", "code", "changes"), REFUSED_HEADERS)
def test_a_request_with_wrong_headers_stores_nothing(
    provider: ReferenceProvider, folder: Path, status: int, code: str, changes: dict[str, str | None]
) -> None:
    assert problem(send(provider, frame(1), **changes)) == (status, code)
    assert files(folder) == {}


def test_the_token_is_found_nowhere_in_an_answer(provider: ReferenceProvider) -> None:
    answer = send(provider, frame(1), Authorization=f"Bearer {TOKEN}x")
    assert TOKEN not in answer.text + str(answer.headers)


def test_a_body_without_a_length_is_refused(provider: ReferenceProvider) -> None:
    url = f"{provider.url}/v1/tiles:batch"
    answer = httpx.post(url, content=iter([frame(1)]), headers=headers_of(frame(1)), timeout=60)
    assert problem(answer) == (411, "length_required")


def test_a_length_beside_chunks_is_refused(provider: ReferenceProvider, folder: Path) -> None:
    body = frame(1)
    headers = "".join(f"{name}: {value}\r\n" for name, value in headers_of(body).items())
    lengths = f"Content-Length: {len(body)}\r\nTransfer-Encoding: chunked\r\n"
    head = f"POST /v1/tiles:batch HTTP/1.1\r\nHost: x\r\n{headers}{lengths}\r\n".encode()
    with socket.create_connection(("127.0.0.1", provider.port)) as connection:
        connection.sendall(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert connection.recv(100).startswith(b"HTTP/1.1 411 ")
    assert files(folder) == {}


def test_too_many_bytes_are_refused_before_they_are_sent(provider: ReferenceProvider) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in headers_of(b"").items())
    with socket.create_connection(("127.0.0.1", provider.port)) as connection:
        connection.sendall(
            f"POST /v1/tiles:batch HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 4194305\r\n\r\n".encode()
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_problem_about_size_says_the_limits(provider: ReferenceProvider, folder: Path) -> None:
    provider.behaviour = Behaviour(max_tiles=2, max_body_bytes=10_000)
    too_many = send(provider, frame(1) + frame(2) + frame(3))
    too_big = send(provider, frame(1, JPEG[:-2] + bytes(10_000) + JPEG[-2:]))
    for answer in (too_many, too_big):
        assert problem(answer) == (413, "too_large")
        assert (answer.json()["max_body_bytes"], answer.json()["max_tiles"]) == (10_000, 2)
    assert files(folder) == {}
    assert results(send(provider, frame(1) + frame(2))) == ["accepted", "accepted"]


def test_a_body_that_does_not_arrive_in_time_is_given_up(provider: ReferenceProvider, folder: Path) -> None:
    provider.behaviour = Behaviour(body_deadline_s=0.2)
    with begun_request(provider, frame(1), sent=50) as connection:
        assert connection.recv(10_000).startswith(b"HTTP/1.1 408 ")
    assert files(folder) == {}


def begun_request(provider: ReferenceProvider, body: bytes, *, sent: int) -> socket.socket:
    """A connection on which a request with the first bytes of its body was sent."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in headers_of(body).items())
    head = f"POST /v1/tiles:batch HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", provider.port))
    connection.sendall(head.encode() + body[:sent])
    return connection


def test_a_request_that_is_cut_off_stores_nothing(provider: ReferenceProvider, folder: Path) -> None:
    body = frame(1) + frame(2)
    begun_request(provider, body, sent=len(frame(1))).close()
    assert results(send(provider, frame(9))) == ["accepted"]
    assert len(files(folder)) == 2


def test_an_unknown_path_and_a_wrong_method_are_problems_too(provider: ReferenceProvider) -> None:
    assert problem(httpx.get(f"{provider.url}/v1/tiles", timeout=60)) == (404, "not_found")
    wrong = httpx.delete(f"{provider.url}/v1/votes")
    assert problem(wrong) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]


def test_health_says_the_limits_to_anybody(provider: ReferenceProvider) -> None:
    provider.behaviour = Behaviour(max_tiles=7)
    answer = httpx.get(f"{provider.url}/v1/health", timeout=60)
    assert answer.json() == {"status": "ok", "protocols": [1], "max_body_bytes": 4_194_304, "max_tiles": 7}
