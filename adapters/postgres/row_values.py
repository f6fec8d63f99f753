"""A row of `tiles` as a value of the domain: the columns that are read and written, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...domain.errors import TileMetadataError
from ...domain.values.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileQualityMetadata,
    TileSource,
    VotingStatus,
)
from .predicates import HAS_CONTENT

ID_COLUMNS = "zoom_level, x, y, source, flight_id"
"""The columns that `read_tile_id` reads."""
METADATA_COLUMNS = f"""
    {ID_COLUMNS}, captured_at, content_sha256, disk_bytes, tile_size_pixels,
    ground_sample_distance, freshness_status, voting_status, dataset, horizontal_error_m, inlier_count,
    mean_reprojection_error_px, sharpness
"""
"""The columns that `read_metadata` reads."""
TILE_COLUMNS = f"""
    {METADATA_COLUMNS}, location_hash, tile_uuid, created_at,
    COALESCE(accessed_at, created_at), uploaded_at, upload_attempts, pinned
"""
"""The columns that `read_tile` reads; they make a tile where `predicates.HAS_CONTENT`."""

SELECT_TILE = f"SELECT {TILE_COLUMNS} FROM tiles WHERE tile_uuid = %s AND {HAS_CONTENT}"
SELECT_TILE_FOR_UPDATE = f"{SELECT_TILE} FOR UPDATE"

INSERTED = {
    "zoom_level": "smallint",
    "x": "integer",
    "y": "integer",
    "source": "text",
    "flight_id": "uuid",
    "captured_at": "timestamptz",
    "freshness_status": "text",
    "voting_status": "text",
    "tile_size_pixels": "integer",
    "ground_sample_distance": "double precision",
    "horizontal_error_m": "double precision",
    "inlier_count": "integer",
    "mean_reprojection_error_px": "double precision",
    "sharpness": "double precision",
    "created_at": "timestamptz",
    "accessed_at": "timestamptz",
    "tile_uuid": "uuid",
    "location_hash": "uuid",
    "content_sha256": "text",
    "disk_bytes": "bigint",
    "dataset": "text",
}
"""The columns that an INSERT gives and their types, in the order of `insert_values` and `ext.copy_rows`."""

_KEPT = {"zoom_level", "x", "y", "source", "flight_id", "tile_uuid", "location_hash", "accessed_at"}
REPLACED = tuple(column for column in INSERTED if column not in _KEPT)
"""The columns whose values a replacement takes from `insert_values`, in the order of `replaced_values`."""

# 'stale' and 'unknown' are what revision 0001 called tiles that the gate would not have passed as fresh.
_FRESHNESS_LABELS = {
    "fresh": FreshnessLabel.FRESH,
    "downgraded": FreshnessLabel.DOWNGRADED,
    "stale": FreshnessLabel.DOWNGRADED,
    "unknown": FreshnessLabel.DOWNGRADED,
}


def read_tile_id(row: Sequence[Any]) -> TileId:
    """The tile id in the first five columns of a row."""
    zoom_level, x, y, source, flight_id = row[:5]
    return TileId(zoom_level, x, y, TileSource(source), flight_id)


def read_tile(row: Sequence[Any]) -> TileMetadataPersistent:
    """The tile in a row of any `SELECT_...` above. Raises `TileMetadataError` for an impossible row."""
    try:
        return TileMetadataPersistent(
            **_metadata_of(row),
            location_hash=row[17],
            tile_uuid=row[18],
            created_at=row[19],
            accessed_at=row[20],
            uploaded_at=row[21],
            upload_attempts=row[22],
            pinned=row[23],
        )
    except ValueError as error:
        raise _impossible(row, error) from error


def read_metadata(row: Sequence[Any]) -> TileMetadata:
    """What travels with a tile's bytes, without `location_hash`. Raises `TileMetadataError`."""
    try:
        return TileMetadata(**_metadata_of(row))
    except ValueError as error:
        raise _impossible(row, error) from error


def _metadata_of(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "tile_id": read_tile_id(row),
        "captured_at": row[5],
        "content_sha256": row[6],
        "disk_bytes": row[7],
        "tile_size_pixels": row[8],
        "ground_sample_distance": row[9],
        "freshness_label": _FRESHNESS_LABELS[row[10]],
        "voting_status": None if row[11] is None else VotingStatus(row[11]),
        "dataset": row[12],
        "quality": None if row[13] is None else TileQualityMetadata(*row[13:17]),
    }


def _impossible(row: Sequence[Any], error: ValueError) -> TileMetadataError:
    place = "/".join(str(part) for part in (row[3], *row[:3]))
    return TileMetadataError(f"the database holds an impossible row for tile {place}: {error}")


def insert_values(tile: TileMetadataPersistent) -> tuple[Any, ...]:
    """A new tile's row, as `INSERT_TILE` takes it; `INSERT_TILES` takes the columns of many."""
    tile_id, quality = tile.tile_id, tile.quality
    # Whole numbers are allowed as floats; in one column of many rows the driver wants one type.
    return (
        tile_id.zoom_level,
        tile_id.x,
        tile_id.y,
        tile_id.source.value,
        tile_id.flight_id,
        tile.captured_at,
        tile.freshness_label.value,
        None if tile.voting_status is None else tile.voting_status.value,
        tile.tile_size_pixels,
        float(tile.ground_sample_distance),
        None if quality is None else float(quality.horizontal_error_m),
        None if quality is None else quality.inlier_count,
        None if quality is None else float(quality.mean_reprojection_error_px),
        None if quality is None else float(quality.sharpness),
        tile.created_at,
        tile.created_at,
        tile.tile_uuid,
        tile.location_hash,
        tile.content_sha256,
        tile.disk_bytes,
        tile.dataset,
    )


def replaced_values(tile: TileMetadataPersistent) -> list[Any]:
    """The values of the columns `REPLACED`."""
    values = dict(zip(INSERTED, insert_values(tile), strict=True))
    return [values[column] for column in REPLACED]
