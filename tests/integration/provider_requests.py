"""Requests to a reference provider, and its answers in short."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx

from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.adapters.provider.server import ReferenceProvider

TOKEN = "a-token-of-the-tests"
NAMESPACE = UUID("5b8d0c2e-1a4f-4b3a-8c9d-e7f6a3b2c1d0")
FLIGHT = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
JPEG = example_jpeg(b" picture ")


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
    return send_to(provider.url, body, **changes)


def send_to(url: str, body: bytes, timeout_s: float = 60.0, **changes: str | None) -> httpx.Response:
    headers = headers_of(body, **changes)
    return httpx.post(f"{url}/v1/tiles:batch", content=body, headers=headers, timeout=timeout_s)


def held(provider: ReferenceProvider) -> int:
    return len(provider.tiles.hashes())


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
    return ask_for_votes(provider.url, **parameters)


def ask_for_votes(url: str, **parameters: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}", "Aerotile-Protocol": "1"}
    return httpx.get(f"{url}/v1/votes", params=parameters, headers=headers, timeout=60)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "tiles").iterdir())}
