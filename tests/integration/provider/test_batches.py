"""The reference provider and the tiles of a batch: stored, known already, or rejected one by one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from uuid import UUID, uuid5

import pytest
from provider_requests import FLIGHT, JPEG, NAMESPACE, files, frame, headers_of, results, send, tile_header

from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.server import ReferenceProvider


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


def test_other_digests_beside_sha_256_are_ignored(provider: ReferenceProvider) -> None:
    body = frame(1)
    digest = headers_of(body)["Content-Digest"]
    assert results(send(provider, body, Content_Digest=f"md5=:AAAA:, {digest}")) == ["accepted"]


def test_a_refused_tile_is_rejected_every_time(provider: ReferenceProvider) -> None:
    refused = UUID(tile_header(1, JPEG)["tile_uuid"])
    provider.behaviour = Behaviour(refused={refused: "cloudy"})
    for _ in range(2):
        answer = send(provider, frame(1) + frame(2))
        assert answer.json()["results"][0]["reason"] == {"code": "refused", "detail": "cloudy"}
    provider.behaviour = Behaviour()
    assert results(send(provider, frame(1))) == ["accepted"]
