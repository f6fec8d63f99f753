"""The client against every answer that docs/openapi.yaml documents for a batch, over a real socket."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.http.client import ProviderAddress
from aerotile.adapters.http.link import HttpProviderLink
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.tile_files import MemoryTilePixelHandle
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource
from aerotile.domain.values.upload_reports import (
    BatchAnswer,
    ProblemKind,
    TileToSend,
    TileUploadOutcome,
    UploadBatch,
)

pytestmark = pytest.mark.faults

DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
RESPONSES: dict[str, Any] = DOCUMENT["paths"]["/v1/tiles:batch"]["post"]["responses"]
NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
PIXELS = example_jpeg(b" documented ")
KINDS = {
    400: ProblemKind.UNREADABLE_BATCH,
    401: ProblemKind.REFUSED,
    403: ProblemKind.REFUSED,
    408: ProblemKind.BROKEN_OFF,
    411: ProblemKind.REFUSED,
    413: ProblemKind.TOO_LARGE,
    415: ProblemKind.REFUSED,
    429: ProblemKind.BUSY,
    500: ProblemKind.SERVER_FAULT,
    503: ProblemKind.BUSY,
}


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def failures() -> Iterator[tuple[int, dict[str, Any], bool]]:
    """Each documented failure: its status, a body as documented, and whether it may say when to come back."""
    for status, response in RESPONSES.items():
        if status == "200":
            continue
        response = resolved(response)
        (content,) = response["content"].values()
        default = {"type": "about:blank", "title": "as documented", "status": int(status)}
        examples = [example["value"] for example in content.get("examples", {}).values()]
        for body in examples or [content.get("example", default)]:
            yield int(status), body, "Retry-After" in response.get("headers", {})


def tile(x: int) -> TileToSend:
    metadata = example_metadata(TileId(9, x, 1, TileSource.ONBOARD, UUID(int=7)), PIXELS, captured_at=NOW)
    return TileToSend(TileMetadataPersistent.of(metadata, created_at=NOW), MemoryTilePixelHandle.of(PIXELS))


def ask(provider: Any, *tiles: TileToSend) -> BatchAnswer:
    address = ProviderAddress(url=provider.url, token=Secret("token"))
    link = HttpProviderLink(address, connections=1, clock=SystemClock())
    try:
        return link.begin(UploadBatch(UUID(int=1), tiles))()
    finally:
        link.close()
        for sent in tiles:
            sent.pixels.close()


def test_the_table_of_this_test_names_every_documented_failure() -> None:
    assert {int(status) for status in RESPONSES} - {200} == set(KINDS)


@pytest.mark.parametrize(("status", "body", "says_when"), list(failures()))
def test_a_documented_failure_is_understood(
    status: int, body: dict[str, Any], says_when: bool, scripted_provider: Callable[..., Any]
) -> None:
    provider = scripted_provider()
    headers = {"Retry_After": "7"} if says_when else {}

    def answer(exchange: Any) -> None:
        exchange.receive_body()
        exchange.answer(status, body, Content_Type="application/problem+json", **headers)

    provider.always = answer
    heard = ask(provider, tile(1))
    assert heard.answers == {}
    assert heard.problem is not None
    damaged_on_the_way = body["type"].endswith(":digest_mismatch")
    assert heard.problem.kind is (ProblemKind.BROKEN_OFF if damaged_on_the_way else KINDS[status])
    assert heard.problem.retry_after_s == (7.0 if says_when else None)
    assert str(status) in str(heard.problem.reason)


def test_the_documented_outcomes_of_tiles_are_understood(scripted_provider: Callable[..., Any]) -> None:
    provider = scripted_provider()
    tiles = [tile(x) for x in range(3)]
    named = [str(sent.metadata.tile_uuid) for sent in tiles]
    sha256 = hashlib.sha256(PIXELS).hexdigest()
    reason = {"code": "not_jpeg", "detail": "as documented"}

    def answer(exchange: Any) -> None:
        exchange.receive_body()
        results = [
            {"tile_uuid": named[0], "outcome": "accepted", "stored_sha256": sha256},
            {"tile_uuid": named[1], "outcome": "duplicate", "stored_sha256": sha256},
            {"tile_uuid": named[2], "outcome": "rejected", "reason": reason},
        ]
        exchange.answer(200, {"results": results}, Content_Type="application/json")

    provider.always = answer
    heard = ask(provider, *tiles)
    assert heard.problem is None
    words = [heard.answers[UUID(name)] for name in named]
    assert [word.outcome for word in words] == [
        TileUploadOutcome.ACCEPTED,
        TileUploadOutcome.DUPLICATE,
        TileUploadOutcome.REJECTED,
    ]
    assert [word.stored_sha256 for word in words] == [sha256, sha256, None]
    assert str(words[2].reason) == "not_jpeg: as documented"
