"""Splitting the body of a batch into frames: a length, a JSON header and the tile's bytes."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import attrs

from ...domain.values.counted import counted
from ..strict_json import parse_json
from ..upload_protocol import HEADER_LENGTH_BYTES

MAX_HEADER_BYTES = 16_384
CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class MalformedBatchError(ValueError):
    """The body does not add up to frames, so that its tiles can't be separated."""


class TooManyTilesError(ValueError):
    """The body holds more frames than one batch may."""


@attrs.frozen
class Frame:
    """One tile as it was sent; only `tile_uuid` and `disk_bytes` of the header were checked."""

    tile_uuid: UUID
    header: dict[str, Any]
    content: bytes


def split_frames(body: bytes, max_tiles: int) -> list[Frame]:
    """The frames of a body, at least one, each with its own `tile_uuid`.

    Raises `MalformedBatchError`, and `TooManyTilesError` at frame number `max_tiles` + 1.
    """
    frames: list[Frame] = []
    seen: set[UUID] = set()
    position = 0
    while position < len(body):
        if len(frames) == max_tiles:
            raise TooManyTilesError(f"the batch holds more than {counted(max_tiles, 'tile')}")
        where = f"frame {len(frames)} at byte {position}"
        frame, position = _frame_at(body, position, where)
        if frame.tile_uuid in seen:
            raise MalformedBatchError(f"{where}: the batch holds tile {frame.tile_uuid} twice")
        seen.add(frame.tile_uuid)
        frames.append(frame)
    if not frames:
        raise MalformedBatchError("the batch holds no tile")
    return frames


def _frame_at(body: bytes, position: int, where: str) -> tuple[Frame, int]:
    header_at = position + HEADER_LENGTH_BYTES
    if header_at > len(body):
        raise MalformedBatchError(f"{where}: the body ends within the header's length")
    header_bytes = int.from_bytes(body[position:header_at], "big")
    if not 2 <= header_bytes <= MAX_HEADER_BYTES:
        raise MalformedBatchError(
            f"{where}: a header has 2 to {MAX_HEADER_BYTES} bytes, this one claims {header_bytes}"
        )
    content_at = header_at + header_bytes
    if content_at > len(body):
        raise MalformedBatchError(f"{where}: the body ends within the header")
    header = _read_header(body[header_at:content_at], where)
    tile_uuid = header.get("tile_uuid")
    if not isinstance(tile_uuid, str) or not CANONICAL_UUID.fullmatch(tile_uuid):
        raise MalformedBatchError(f"{where}: tile_uuid is no UUID in its canonical form")
    disk_bytes = header.get("disk_bytes")
    if isinstance(disk_bytes, bool) or not isinstance(disk_bytes, int) or disk_bytes < 1:
        raise MalformedBatchError(f"{where}: disk_bytes is no whole number of 1 or more")
    end = content_at + disk_bytes
    if end > len(body):
        raise MalformedBatchError(f"{where}: the body ends within the tile's {disk_bytes} bytes")
    return Frame(UUID(tile_uuid), header, body[content_at:end]), end


def _read_header(text: bytes, where: str) -> dict[str, Any]:
    try:
        header = parse_json(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MalformedBatchError(f"{where}: the header is no JSON") from error
    if not isinstance(header, dict):
        raise MalformedBatchError(f"{where}: the header is no JSON object")
    return header
