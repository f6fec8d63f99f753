"""The hash gate: which bytes a store takes as a tile. `ext.tile_write.GatedWrite` is the compiled twin."""

from __future__ import annotations

import hashlib

from ..errors import ContentHashMismatchError, TileMetadataError
from ..values.tiles import TileId, TileMetadata
from .jpeg import JpegWalk, describe_jpeg_fault, is_picture, walk_jpeg


def check_pixels(pixels: bytes, metadata: TileMetadata) -> None:
    """Raise unless `pixels` have the promised length and SHA-256 and are a JPEG of the promised size.

    The first that is wrong is raised: `ContentHashMismatchError` (length, SHA-256) or `TileMetadataError`.
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
    walk = walk_jpeg(pixels)
    if not is_picture(walk, metadata.tile_size_pixels):
        raise picture_error(walk, pixels, tile_id, metadata.tile_size_pixels)


def picture_error(walk: JpegWalk, pixels: bytes, tile_id: TileId, tile_size_pixels: int) -> TileMetadataError:
    """The error to raise for walked bytes that are no tile's picture."""
    reason, remedy = describe_jpeg_fault(walk, pixels, tile_size_pixels)
    return TileMetadataError(f"tile {tile_id} {reason}", tile_id=tile_id, remedy=remedy)
