"""The gates that an offered tile passes before the store sees it: its place, its size, its picture.

The store's own gates (hash, freshness, JPEG structure, disk budget) follow when the tile is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

from ..errors import TileMetadataError
from ..policies.hash_gate import picture_error
from ..policies.jpeg import JpegWalk, is_picture
from ..ports.offered_tile import OfferedTile
from ..ports.picture_decoder import DecodedPicture
from ..values.tile_grid import ground_sample_distance
from ..values.tiles import TileId, TileMetadata
from .terms import IntakeTerms

MAX_TILE_BYTES = 64 << 20


def read_offered_tile(
    tile: OfferedTile,
    captured_at: datetime,
    terms: IntakeTerms,
    *,
    tile_size_pixels: int,
    walk_jpeg: Callable[[bytes], JpegWalk],
) -> tuple[bytes, TileMetadata]:
    """The tile's JPEG bytes and its metadata.

    The metadata promise the SHA-256 that the supply claims, or else that of the bytes. Raises `ValueError`
    for a tile off the grid or an unreadable claim, `TileMetadataError` for bytes that are no whole JPEG of
    the right size, and `OSError`.
    """
    tile_id = TileId(tile.zoom_level, tile.x, tile.y, terms.source)
    pixels = tile.read_pixels(MAX_TILE_BYTES + 1)
    if len(pixels) > MAX_TILE_BYTES:
        size = max(tile.size, len(pixels))
        raise TileMetadataError(f"{size} bytes is no tile's size", tile_id=tile_id)
    walk = walk_jpeg(pixels)
    if not is_picture(walk, tile_size_pixels):
        raise picture_error(walk, pixels, tile_id, tile_size_pixels)
    return pixels, TileMetadata(
        tile_id=tile_id,
        captured_at=captured_at,
        content_sha256=tile.claimed_sha256() or hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        tile_size_pixels=tile_size_pixels,
        ground_sample_distance=ground_sample_distance(
            tile_id.centre[0], tile_id.zoom_level, tile_size_pixels
        ),
        dataset=terms.dataset,
    )


def check_decoded(picture: DecodedPicture, tile_id: TileId) -> None:
    """Raise `TileMetadataError` for a picture that did not decode whole."""
    if picture.damage is not None:
        raise TileMetadataError(
            f"tile {tile_id} does not decode: {picture.damage}",
            tile_id=tile_id,
            remedy="fetch or make the tile again",
        )
