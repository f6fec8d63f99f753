"""The reference provider: what it stores, what it refuses, and that it survives crashes."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx
import pytest

from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.server import ReferenceProvider
from aerotile.adapters.provider.votes import Vote
from aerotile.adapters.secret import Secret
from aerotile.domain.errors import ConfigurationError, StoreUnavailableError, TileMetadataError
from aerotile.domain.tiles import VotingStatus

TOKEN = "a-token-of-the-tests"
NAMESPACE = UUID("5b8d0c2e-1a4f-4b3a-8c9d-e7f6a3b2c1d0")
FLIGHT = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
JPEG = b"\xff\xd8\xff picture \xff\xd9"


def tile_header(x: int, content: bytes, /, **changes: Any) -> dict[str, Any]:
    """A header that is right but for the changes; None as a change leaves the field out."""
    tile_uuid = str(uuid5(NAMESPACE, f"18/{x}/90123/onboard/{FLIGHT}"))
    sha256 = hashlib.sha256(content).hexdigest()
    header = {
        "tile_uuid": tile_uuid,
        "idempotency_key": f"{tile_uuid}:{sha256}",
        "zoom_level": 18,
        "x": x,
        "y": 90123,
        "source": "onboard",
        "flight_id": FLIGHT,
        "captured_at": "2026-05-01T12:00:00Z",
        "content_sha256": sha256,
        "disk_bytes": len(content),
        "tile_size_pixels": 256,
        "ground_sample_distance": 0.59,
        "quality": None,
    }
    return {name: value for name, value in (header | changes).items() if value != "left out"}


def frame(x: int, content: bytes = JPEG, /, **changes: Any) -> bytes:
    text = json.dumps(tile_header(x, content, **changes)).encode()
    return len(text).to_bytes(4, "big") + text + content


def headers_of(body: bytes, **changes: str | None) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Aerotile-Protocol": "1",
        "Content-Type": "application/vnd.aerotile.tile-batch",
        "Content-Digest": f"sha-256=:{digest}:",
    }
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in (headers | named).items() if value is not None}


def send(provider: ReferenceProvider, body: bytes, **changes: str | None) -> httpx.Response:
    return httpx.post(f"{provider.url}/v1/tiles:batch", content=body, headers=headers_of(body, **changes))


def results(answer: httpx.Response) -> list[str]:
    """The outcome of each tile, or the code of its rejection."""
    assert answer.status_code == 200, answer.text
    return [
        result["reason"]["code"] if result["outcome"] == "rejected" else result["outcome"]
        for result in answer.json()["results"]
    ]


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, answer.json()["type"].removeprefix("urn:aerotile:problem:")


def votes_page(provider: ReferenceProvider, **parameters: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}", "Aerotile-Protocol": "1"}
    return httpx.get(f"{provider.url}/v1/votes", params=parameters, headers=headers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "provider"


@pytest.fixture
def provider(folder: Path) -> Iterator[ReferenceProvider]:
    with ReferenceProvider(folder, Secret(TOKEN)) as running:
        yield running


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "tiles").iterdir())}


def test_an_accepted_tile_is_in_the_folder_with_its_facts(provider: ReferenceProvider, folder: Path) -> None:
    answer = send(provider, frame(1))
    header = tile_header(1, JPEG)
    (result,) = answer.json()["results"]
    assert result == {
        "tile_uuid": header["tile_uuid"],
        "outcome": "accepted",
        "stored_sha256": header["content_sha256"],
    }
    stored = files(folder)
    assert stored[f"{header['tile_uuid']}.jpg"] == JPEG
    assert json.loads(stored[f"{header['tile_uuid']}.json"]) == header
    assert len(stored) == 2


def test_a_tile_that_is_sent_again_is_a_duplicate_and_its_file_stays(
    provider: ReferenceProvider, folder: Path
) -> None:
    send(provider, frame(1))
    before = {path: path.stat().st_ino for path in (folder / "tiles").iterdir()}
    again = send(provider, frame(2) + frame(1))
    assert results(again) == ["accepted", "duplicate"]
    assert again.json()["results"][1]["stored_sha256"] == hashlib.sha256(JPEG).hexdigest()
    assert {path: path.stat().st_ino for path in before} == before


def test_another_content_under_a_known_name_is_rejected_and_the_first_stays(
    provider: ReferenceProvider, folder: Path
) -> None:
    send(provider, frame(1))
    before = files(folder)
    assert results(send(provider, frame(1, JPEG.upper() + b"\xff\xd9"))) == ["content_conflict"]
    assert files(folder) == before


BAD_TILES = [
    ("hash_mismatch", frame(1).replace(b"picture", b"another")),
    ("not_jpeg", frame(1, b"no picture")),
    ("not_jpeg", frame(1, JPEG[:-1])),
    ("identity_mismatch", frame(1, tile_uuid=str(uuid5(NAMESPACE, "another")))),
    ("identity_mismatch", frame(1, x=2)),
    ("identity_mismatch", frame(1, idempotency_key="left out")),
    ("identity_mismatch", frame(1, idempotency_key=f"{uuid5(NAMESPACE, 'another')}:{'0' * 64}")),
    ("invalid_metadata", frame(1, zoom_level="left out")),
    ("invalid_metadata", frame(1, zoom_level=23)),
    ("invalid_metadata", frame(1, zoom_level="18")),
    ("invalid_metadata", frame(1, x=-1)),
    ("invalid_metadata", frame(1, y=1.5)),
    ("invalid_metadata", frame(1, source="balloon")),
    ("invalid_metadata", frame(1, source=[])),
    ("invalid_metadata", frame(1, flight_id=None)),
    ("invalid_metadata", frame(1, flight_id=FLIGHT.upper())),
    ("invalid_metadata", frame(1, captured_at="2026-05-01T12:00:00")),
    ("invalid_metadata", frame(1, captured_at="2026-05-01T12:00:00+02:00")),
    ("invalid_metadata", frame(1, captured_at="2026-02-30T12:00:00Z")),
    ("invalid_metadata", frame(1, captured_at=1714564800)),
    ("invalid_metadata", frame(1, content_sha256="00")),
    ("invalid_metadata", frame(1, tile_size_pixels=0)),
    ("invalid_metadata", frame(1, ground_sample_distance=0)),
    ("invalid_metadata", frame(1, ground_sample_distance=True)),
    ("invalid_metadata", frame(1, quality="left out")),
    ("invalid_metadata", frame(1, quality=[])),
    ("invalid_metadata", frame(1, quality={"horizontal_error_m": 1})),
    ("invalid_metadata", frame(1, source="\ud800")),
]


@pytest.mark.parametrize(("code", "bad"), BAD_TILES)
def test_a_bad_tile_is_rejected_and_never_sinks_its_batch(
    provider: ReferenceProvider, folder: Path, code: str, bad: bytes
) -> None:
    assert results(send(provider, frame(5) + bad + frame(6))) == ["accepted", code, "accepted"]
    assert len(files(folder)) == 4


def test_fields_that_are_not_known_are_ignored(provider: ReferenceProvider) -> None:
    assert results(send(provider, frame(1, colour="green"))) == ["accepted"]


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


def test_other_digests_beside_sha_256_are_ignored(provider: ReferenceProvider) -> None:
    body = frame(1)
    digest = headers_of(body)["Content-Digest"]
    assert results(send(provider, body, Content_Digest=f"md5=:AAAA:, {digest}")) == ["accepted"]


def test_the_token_is_found_nowhere_in_an_answer(provider: ReferenceProvider) -> None:
    answer = send(provider, frame(1), Authorization=f"Bearer {TOKEN}x")
    assert TOKEN not in answer.text + str(answer.headers)


def test_a_body_without_a_length_is_refused(provider: ReferenceProvider) -> None:
    answer = httpx.post(
        f"{provider.url}/v1/tiles:batch", content=iter([frame(1)]), headers=headers_of(frame(1))
    )
    assert problem(answer) == (411, "length_required")


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
    assert problem(httpx.get(f"{provider.url}/v1/tiles")) == (404, "not_found")
    wrong = httpx.delete(f"{provider.url}/v1/votes")
    assert problem(wrong) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]


def test_health_says_the_limits_to_anybody(provider: ReferenceProvider) -> None:
    provider.behaviour = Behaviour(max_tiles=7)
    answer = httpx.get(f"{provider.url}/v1/health")
    assert answer.json() == {"status": "ok", "protocols": [1], "max_body_bytes": 4_194_304, "max_tiles": 7}


def test_a_refused_tile_is_rejected_every_time(provider: ReferenceProvider) -> None:
    refused = UUID(tile_header(1, JPEG)["tile_uuid"])
    provider.behaviour = Behaviour(refused={refused: "cloudy"})
    for _ in range(2):
        answer = send(provider, frame(1) + frame(2))
        assert answer.json()["results"][0]["reason"] == {"code": "refused", "detail": "cloudy"}
    provider.behaviour = Behaviour()
    assert results(send(provider, frame(1))) == ["accepted"]


def test_votes_are_told_in_order_page_by_page(provider: ReferenceProvider) -> None:
    provider.behaviour = Behaviour(
        verdict=VotingStatus.TRUSTED,
        verdicts={UUID(tile_header(2, JPEG)["tile_uuid"]): VotingStatus.REJECTED},
    )
    send(provider, frame(1) + frame(2) + frame(3))
    names = [tile_header(x, JPEG)["tile_uuid"] for x in (1, 2, 3)]
    first = votes_page(provider, limit=2).json()
    second = votes_page(provider, limit=2, after=first["next"]).json()
    assert [vote["tile_uuid"] for vote in first["votes"] + second["votes"]] == names
    assert [vote["verdict"] for vote in first["votes"]] == ["trusted", "rejected"]
    assert second["next"] is None


def test_a_duplicate_gets_no_second_vote(provider: ReferenceProvider) -> None:
    provider.behaviour = Behaviour(verdict=VotingStatus.TRUSTED)
    for _ in range(2):
        send(provider, frame(1))
    assert len(votes_page(provider).json()["votes"]) == 1


def test_a_vote_moves_forward_only(provider: ReferenceProvider) -> None:
    tile = UUID(tile_header(1, JPEG)["tile_uuid"])
    provider.votes.give([Vote(tile, VotingStatus.TRUSTED), Vote(tile, VotingStatus.REJECTED, "blurred")])
    with pytest.raises(TileMetadataError, match="can't go back"):
        provider.votes.give([Vote(tile, VotingStatus.TRUSTED)])
    assert votes_page(provider).json()["votes"][1:] == [
        {"tile_uuid": str(tile), "verdict": "rejected", "reason": "blurred"}
    ]


@pytest.mark.parametrize(
    "parameters", [{"limit": 0}, {"limit": 1001}, {"limit": "ten"}, {"after": "-1"}, {"after": [1, 2]}]
)
def test_a_bad_parameter_is_refused(provider: ReferenceProvider, parameters: dict[str, Any]) -> None:
    assert problem(votes_page(provider, **parameters)) == (400, "bad_parameter")


def test_a_restarted_provider_knows_its_tiles_and_votes(folder: Path) -> None:
    behaviour = Behaviour(verdict=VotingStatus.TRUSTED)
    with ReferenceProvider(folder, Secret(TOKEN), behaviour=behaviour) as first:
        send(first, frame(1))
        votes = votes_page(first).json()
    with ReferenceProvider(folder, Secret(TOKEN)) as second:
        assert results(send(second, frame(1) + frame(2))) == ["duplicate", "accepted"]
        assert votes_page(second).json() == votes
        assert set(second.tiles.hashes()) == {UUID(tile_header(x, JPEG)["tile_uuid"]) for x in (1, 2)}


def test_what_a_crash_left_is_cleared_away(folder: Path) -> None:
    trusting = Behaviour(verdict=VotingStatus.TRUSTED)
    with ReferenceProvider(folder, Secret(TOKEN), behaviour=trusting) as first:
        send(first, frame(1))
    held = files(folder)
    unfinished = tile_header(2, JPEG)["tile_uuid"]
    for name in (f"{unfinished}.jpg", f"{unfinished}.json.tmp", f"{unfinished}.jpg.tmp"):
        (folder / "tiles" / name).write_bytes(b"half")
    with (folder / "votes.jsonl").open("a") as votes:
        votes.write('{"tile_uuid": "5b8d0c2e')
    with ReferenceProvider(folder, Secret(TOKEN), behaviour=trusting) as second:
        assert files(folder) == held
        assert results(send(second, frame(2))) == ["accepted"]
    with ReferenceProvider(folder, Secret(TOKEN)) as third:
        assert len(votes_page(third).json()["votes"]) == 2


def test_a_damaged_tile_is_named_at_start(folder: Path) -> None:
    with ReferenceProvider(folder, Secret(TOKEN)) as first:
        send(first, frame(1))
    (content,) = (folder / "tiles").glob("*.jpg")
    content.write_bytes(JPEG[:-1])
    with pytest.raises(StoreUnavailableError, match=f"{content.name} is damaged"):
        ReferenceProvider(folder, Secret(TOKEN))


def test_a_folder_has_one_provider_at_a_time(provider: ReferenceProvider, folder: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="in use by another provider"):
        ReferenceProvider(folder, Secret(TOKEN))


def test_a_port_that_is_taken_is_a_clear_error(provider: ReferenceProvider, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1 port {provider.port}: "):
        ReferenceProvider(tmp_path / "other", Secret(TOKEN), port=provider.port)


def test_a_disk_that_refuses_is_answered_with_503_and_nothing_is_claimed(
    provider: ReferenceProvider, folder: Path
) -> None:
    (folder / "tiles").rename(folder / "elsewhere")
    assert problem(send(provider, frame(1))) == (503, "unavailable")
    (folder / "elsewhere").rename(folder / "tiles")
    assert results(send(provider, frame(1))) == ["accepted"]


def test_it_speaks_https_with_a_certificate(folder: Path, certificates: Any) -> None:
    trusted = ssl.create_default_context(cafile=str(certificates["authority"]))
    with ReferenceProvider(folder, Secret(TOKEN), certificate=certificates["good"]) as running:
        assert running.url.startswith("https://")
        answer = httpx.get(f"{running.url}/v1/health", verify=trusted)
    assert answer.json()["status"] == "ok"


def test_a_certificate_that_is_none_is_a_clear_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"cannot use the certificate .*broken\.pem"):
        ReferenceProvider(folder, Secret(TOKEN), certificate=tmp_path / "broken.pem")
