"""New rows of `tiles` in PostgreSQL's binary COPY format, for the columns `row_values.INSERTED`.

Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format": a signature, two empty words,
then each row as the number of its fields and each field as its length and its bytes (-1: NULL); big endian.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from struct import Struct
from uuid import UUID

from ...domain.values.tiles import TileMetadataPersistent

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)

_grid = Struct("!hihiiii").pack  # how many fields, then zoom_level, x, y
_timestamp = Struct("!iq").pack
_raster = Struct("!iiid").pack
_quality = Struct("!idiiidid").pack
_ends = Struct("!iqiq").pack  # created_at, accessed_at
_number = Struct("!iq").pack
_FIELDS = 21
_NULL = b"\xff\xff\xff\xff"
_NO_QUALITY = 4 * _NULL
_UUID_LENGTH = (16).to_bytes(4, "big")


def copy_rows(tiles: Iterable[TileMetadataPersistent]) -> bytes:
    """The rows as COPY takes them. Raises `struct.error` for a number that its column can't hold."""
    return b"".join([_SIGNATURE, *map(_row, tiles), _TRAILER])


def _row(tile: TileMetadataPersistent) -> bytes:
    tile_id, quality, voting_status = tile.tile_id, tile.quality, tile.voting_status
    created_us = _microseconds(tile.created_at)
    return b"".join(
        (
            _grid(_FIELDS, 2, tile_id.zoom_level, 4, tile_id.x, 4, tile_id.y),
            _text(tile_id.source.value),
            _NULL if tile_id.flight_id is None else _uuid(tile_id.flight_id),
            _timestamp(8, _microseconds(tile.captured_at)),
            _text(tile.freshness_label.value),
            _NULL if voting_status is None else _text(voting_status.value),
            _raster(4, tile.tile_size_pixels, 8, tile.ground_sample_distance),
            _NO_QUALITY
            if quality is None
            else _quality(
                *(8, quality.horizontal_error_m, 4, quality.inlier_count),
                *(8, quality.mean_reprojection_error_px, 8, quality.sharpness),
            ),
            _ends(8, created_us, 8, created_us),
            _uuid(tile.tile_uuid),
            _NULL if tile.location_hash is None else _uuid(tile.location_hash),
            _text(tile.content_sha256),
            _number(8, tile.disk_bytes),
            _NULL if tile.dataset is None else _text(tile.dataset),
        )
    )


def _text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def _uuid(value: UUID) -> bytes:
    return _UUID_LENGTH + value.bytes


def _microseconds(timestamp: datetime) -> int:
    return (timestamp - _EPOCH) // _MICROSECOND
