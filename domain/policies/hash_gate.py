"""The hash gate: which bytes a store takes as a tile. `ext.tile_write.GatedWrite` is the compiled twin."""

from __future__ import annotations

import hashlib

from ..errors import ContentHashMismatchError, TileMetadataError
from ..values.tiles import TileMetadata
from .jpeg import has_jpeg_markers


def check_pixels(pixels: bytes, metadata: TileMetadata) -> None:
    """Raise unless `pixels` have the promised length, then the promised SHA-256, then a JPEG's markers.

    Raises `ContentHashMismatchError` (length, SHA-256) or `TileMetadataError` (no JPEG).
    """
    tile_id = metadata.tile_id
    if len(pixels) != metadata.disk_bytes:
        raise ContentHashMismatchError(
            "length", expected=metadata.disk_bytes, actual=len(pixels), tile_id=tile_id
        )
    actual = hashlib.sha256(pixels).hexdigest()
    if actual != metadata.content_sha256:
        raise ContentHashMismatchError(
            "SHA-256", expected=metadata.content_sha256, actual=actual, tile_id=tile_id
        )
    if not has_jpeg_markers(pixels):
        raise TileMetadataError(
            f"tile {tile_id} is no JPEG: its start or end marker is missing",
            tile_id=tile_id,
            remedy="store complete JPEG files",
        )
