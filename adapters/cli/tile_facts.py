"""A tile's row as JSON and CSV show it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...domain.values.tiles import TileMetadataPersistent

COLUMNS = (
    "tile",
    "source",
    "flight_id",
    "zoom_level",
    "x",
    "y",
    "tile_uuid",
    "location_hash",
    "captured_at",
    "content_sha256",
    "disk_bytes",
    "tile_size_pixels",
    "ground_sample_distance",
    "freshness_label",
    "voting_status",
    "horizontal_error_m",
    "inlier_count",
    "mean_reprojection_error_px",
    "sharpness",
    "created_at",
    "accessed_at",
    "uploaded_at",
    "upload_attempts",
    "pinned",
)
"""The keys of `tile_facts`, in its order. Keys are only ever added, at the end."""


def tile_facts(row: TileMetadataPersistent) -> dict[str, Any]:
    """Every fact of a row; distances in metres, times in UTC."""
    tile_id, quality = row.tile_id, row.quality
    values = (
        str(tile_id),
        tile_id.source.value,
        None if tile_id.flight_id is None else str(tile_id.flight_id),
        tile_id.zoom_level,
        tile_id.x,
        tile_id.y,
        str(row.tile_uuid),
        str(tile_id.location_hash),
        _moment(row.captured_at),
        row.content_sha256,
        row.disk_bytes,
        row.tile_size_pixels,
        row.ground_sample_distance,
        row.freshness_label.value,
        None if row.voting_status is None else row.voting_status.value,
        None if quality is None else quality.horizontal_error_m,
        None if quality is None else quality.inlier_count,
        None if quality is None else quality.mean_reprojection_error_px,
        None if quality is None else quality.sharpness,
        _moment(row.created_at),
        _moment(row.accessed_at),
        _moment(row.uploaded_at),
        row.upload_attempts,
        row.pinned,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
