"""Whether a received tile may be stored: checks of its metadata, its identity and its bytes."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

import attrs

from ...domain.policies.jpeg import describe_jpeg_fault, is_picture, walk_jpeg
from ...domain.values.tiles import TileId, TileMetadata, TileQualityMetadata, TileSource
from .frames import CANONICAL_UUID, Frame

_UTC_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:[Zz]|\+00:00)", re.ASCII)
_DETAIL_LIMIT = 1000


class RejectionCode(str, Enum):
    """Why a tile is rejected, for programs."""

    CONTENT_CONFLICT = "content_conflict"
    HASH_MISMATCH = "hash_mismatch"
    NOT_JPEG = "not_jpeg"
    IDENTITY_MISMATCH = "identity_mismatch"
    INVALID_METADATA = "invalid_metadata"
    REFUSED = "refused"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_DETAIL_LIMIT]


@attrs.frozen
class Rejection:
    """A rejected tile, and the reason."""

    tile_uuid: UUID
    code: RejectionCode
    detail: str = attrs.field(converter=_one_line)


@attrs.frozen
class AdmittedTile:
    """A tile that may be stored."""

    tile_uuid: UUID
    content_sha256: str
    """SHA-256 of the received bytes, computed here."""
    header: dict[str, Any]
    content: bytes


def judge_tile(frame: Frame) -> AdmittedTile | Rejection:
    """Check that a tile's metadata is valid, its names follow from it, and its bytes match it."""
    try:
        metadata = _read_metadata(frame.header)
    except ValueError as error:
        return Rejection(frame.tile_uuid, RejectionCode.INVALID_METADATA, str(error))
    arrived_sha256 = hashlib.sha256(frame.content).hexdigest()
    reason = _identity_mismatch(frame, metadata) or _content_mismatch(frame, metadata, arrived_sha256)
    if reason is not None:
        return Rejection(frame.tile_uuid, *reason)
    return AdmittedTile(frame.tile_uuid, arrived_sha256, frame.header, frame.content)


def _identity_mismatch(frame: Frame, metadata: TileMetadata) -> tuple[RejectionCode, str] | None:
    tile_id = metadata.tile_id
    if frame.tile_uuid != tile_id.tile_uuid:
        return RejectionCode.IDENTITY_MISMATCH, f"tile_uuid of {tile_id} is {tile_id.tile_uuid}"
    if frame.header.get("idempotency_key") != f"{frame.tile_uuid}:{metadata.content_sha256}":
        return RejectionCode.IDENTITY_MISMATCH, "idempotency_key is not tile_uuid, a colon, content_sha256"
    return None


def _content_mismatch(
    frame: Frame, metadata: TileMetadata, arrived_sha256: str
) -> tuple[RejectionCode, str] | None:
    if arrived_sha256 != metadata.content_sha256:
        return RejectionCode.HASH_MISMATCH, f"the SHA-256 of the bytes is {arrived_sha256}"
    walk = walk_jpeg(frame.content)
    if not is_picture(walk, metadata.tile_size_pixels):
        reason, _ = describe_jpeg_fault(walk, frame.content, metadata.tile_size_pixels)
        return RejectionCode.NOT_JPEG, f"the content {reason}"
    return None


def _read_metadata(header: dict[str, Any]) -> TileMetadata:
    """Read a header as the domain's values. Raises `ValueError` that names the field."""
    tile_id = TileId(
        _present(header, "zoom_level"),
        _present(header, "x"),
        _present(header, "y"),
        TileSource(_present(header, "source")),
        _flight_id(_present(header, "flight_id")),
    )
    return TileMetadata(
        tile_id=tile_id,
        captured_at=_instant(_present(header, "captured_at")),
        content_sha256=_present(header, "content_sha256"),
        disk_bytes=_present(header, "disk_bytes"),
        tile_size_pixels=_present(header, "tile_size_pixels"),
        ground_sample_distance=_present(header, "ground_sample_distance"),
        quality=_quality(_present(header, "quality")),
    )


def _present(header: dict[str, Any], name: str) -> Any:
    if name not in header:
        raise ValueError(f"{name} is missing")
    return header[name]


def _flight_id(value: Any) -> UUID | None:
    if value is None:
        return None
    if not isinstance(value, str) or not CANONICAL_UUID.fullmatch(value):
        raise ValueError("flight_id is neither null nor a UUID in its canonical form")
    return UUID(value)


def _instant(value: Any) -> datetime:
    match = _UTC_INSTANT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("captured_at is no RFC 3339 date and time in UTC")
    day, time, fraction = match.groups()
    try:
        return datetime.fromisoformat(f"{day}T{time}.{(fraction or '0'):0<6}+00:00")
    except ValueError as error:
        raise ValueError(f"captured_at: {error}") from error


def _quality(value: Any) -> TileQualityMetadata | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("quality is neither null nor an object")
    return TileQualityMetadata(
        horizontal_error_m=_present(value, "horizontal_error_m"),
        inlier_count=_present(value, "inlier_count"),
        mean_reprojection_error_px=_present(value, "mean_reprojection_error_px"),
        sharpness=_present(value, "sharpness"),
    )
