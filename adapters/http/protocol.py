"""The upload protocol's bodies and headers: tiles to frames, JSON to the provider's answers.

No byte of the provider's is trusted. A text is cut to a length and cleaned of characters that could control a
terminal or break a database; a field is checked before it is used. A provider may repeat the upload token in
an answer: functions that read texts take the token as `hidden` and keep it out of logs, records and rows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from ...domain.values.tiles import TileMetadataPersistent
from ...domain.values.upload_reports import (
    TileAnswer,
    TileToSend,
    TileUploadOutcome,
    UploadBatch,
    UploadReason,
    idempotency_key,
)
from ...domain.values.validators import is_sha256
from ..config.secret import HIDDEN
from ..strict_json import parse_json
from ..upload_protocol import BATCH_TYPE, CURSOR, HEADER_LENGTH_BYTES, PROBLEM_TYPE

MAX_DETAIL_LENGTH = 500

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class GarbledAnswerError(ValueError):
    """The provider's answer is not what the protocol says."""


def tile_header(tile: TileMetadataPersistent) -> dict[str, Any]:
    """The JSON header of a tile's frame."""
    tile_id, quality = tile.tile_id, tile.quality
    return {
        "tile_uuid": str(tile.tile_uuid),
        "idempotency_key": idempotency_key(tile),
        "zoom_level": tile_id.zoom_level,
        "x": tile_id.x,
        "y": tile_id.y,
        "source": tile_id.source.value,
        "flight_id": None if tile_id.flight_id is None else str(tile_id.flight_id),
        "captured_at": tile.captured_at.isoformat(),
        "content_sha256": tile.content_sha256,
        "disk_bytes": tile.disk_bytes,
        "tile_size_pixels": tile.tile_size_pixels,
        "ground_sample_distance": tile.ground_sample_distance,
        "quality": None
        if quality is None
        else {
            "horizontal_error_m": quality.horizontal_error_m,
            "inlier_count": quality.inlier_count,
            "mean_reprojection_error_px": quality.mean_reprojection_error_px,
            "sharpness": quality.sharpness,
        },
    }


def frame(tile: TileToSend) -> bytes:
    """One tile of a body: the header's length, the header, the pixels. Copies the pixels of this tile."""
    header = json.dumps(tile_header(tile.metadata), separators=(",", ":"), allow_nan=False).encode()
    pixels: memoryview = memoryview(tile.pixels)
    with pixels:
        return b"".join((len(header).to_bytes(HEADER_LENGTH_BYTES, "big"), header, pixels))


def frames(batch: UploadBatch) -> Iterator[bytes]:
    """The body of a batch, one tile at a time."""
    return map(frame, batch.tiles)


def batch_headers(batch: UploadBatch) -> dict[str, str]:
    """The headers that describe a body. The body is made once for them and once more to be sent."""
    length, digest = 0, hashlib.sha256()
    for part in frames(batch):
        length += len(part)
        digest.update(part)
    return {
        "Content-Type": BATCH_TYPE,
        "Content-Length": str(length),
        "Content-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
    }


def read_answers(body: bytes, batch: UploadBatch, hidden: str = "") -> dict[UUID, TileAnswer]:
    """The provider's answers to the tiles of a batch.

    A result is ignored when it is malformed, names another tile, or contradicts another result for its tile.
    Raises `GarbledAnswerError` when no result is left.
    """
    results = _member(_json_object(body), "results", list)
    sent = {str(tile.metadata.tile_uuid): tile.metadata.tile_uuid for tile in batch.tiles}
    answers: dict[UUID, TileAnswer] = {}
    contradicted: set[UUID] = set()
    for result in results:
        if not isinstance(result, dict) or not isinstance(result.get("tile_uuid"), str):
            continue
        tile_uuid = sent.get(result["tile_uuid"].lower())
        answer = _answer(result, hidden)
        if tile_uuid is None or answer is None:
            continue
        if answers.setdefault(tile_uuid, answer) != answer:
            contradicted.add(tile_uuid)
    for tile_uuid in contradicted:
        del answers[tile_uuid]
    if not answers:
        raise GarbledAnswerError("the answer has no usable result for any tile of the batch")
    return answers


def _answer(result: Mapping[str, Any], hidden: str) -> TileAnswer | None:
    outcome, stored = result.get("outcome"), result.get("stored_sha256")
    if outcome in (TileUploadOutcome.ACCEPTED.value, TileUploadOutcome.DUPLICATE.value):
        if not isinstance(stored, str) or not is_sha256(stored):
            return None
        return TileAnswer(TileUploadOutcome(outcome), stored_sha256=stored)
    if outcome != TileUploadOutcome.REJECTED.value:
        return None
    reason = result.get("reason")
    given = reason if isinstance(reason, dict) else {}
    code = given.get("code")
    return TileAnswer(
        TileUploadOutcome.REJECTED,
        reason=UploadReason(
            _code(code, hidden) or "no_code",
            plain_text(given.get("detail"), hidden),
        ),
    )


def read_votes(body: bytes, hidden: str = "") -> tuple[list[tuple[UUID, str, str]], str | None]:
    """A page of votes as (tile_uuid, verdict, reason), and the next cursor. Raises `GarbledAnswerError`."""
    page = _json_object(body)
    votes: list[tuple[UUID, str, str]] = []
    for vote in _member(page, "votes", list):
        try:
            reason = plain_text(vote.get("reason"), hidden)
            votes.append((UUID(vote["tile_uuid"]), str(vote["verdict"]), reason))
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise GarbledAnswerError("the answer has a vote that can't be read") from error
    cursor = page.get("next")
    if cursor is not None and not (isinstance(cursor, str) and CURSOR.fullmatch(cursor)):
        raise GarbledAnswerError("the answer has a cursor that can't be used")
    return votes, cursor


def read_problem(body: bytes, hidden: str = "") -> tuple[str | None, str]:
    """The code and the text of an RFC 9457 problem; None and an empty text when the body is no problem."""
    try:
        problem = _json_object(body)
    except GarbledAnswerError:
        return None, ""
    kind = problem.get("type")
    code = kind[len(PROBLEM_TYPE) :] if isinstance(kind, str) and kind.startswith(PROBLEM_TYPE) else None
    texts = [plain_text(problem.get(name), hidden) for name in ("title", "detail")]
    return _code(code, hidden), ": ".join(text for text in texts if text)


def _code(value: object, hidden: str) -> str | None:
    """A code that a provider may give; None for any other value."""
    if not isinstance(value, str) or not _CODE.fullmatch(value) or _without(value, hidden) != value:
        return None
    return value


def plain_text(value: object, hidden: str = "") -> str:
    """A provider's text on one line, of bounded length, without `hidden` and unprintable characters."""
    if not isinstance(value, str):
        return ""
    # Hidden before the text is cut, or the beginning of the token would stay.
    shown = _without(value, hidden)[: 2 * MAX_DETAIL_LENGTH]
    joined = " ".join(shown.split())[:MAX_DETAIL_LENGTH]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in joined)


def _without(text: str, hidden: str) -> str:
    return text.replace(hidden, HIDDEN) if hidden else text


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = parse_json(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise GarbledAnswerError("the answer is not JSON") from error
    if not isinstance(value, dict):
        raise GarbledAnswerError("the answer is not a JSON object")
    return value


def _member(value: Mapping[str, Any], name: str, kind: type[list[Any]]) -> list[Any]:
    member = value.get(name)
    if not isinstance(member, kind):
        raise GarbledAnswerError(f"the answer has no list {name!r}")
    return member
