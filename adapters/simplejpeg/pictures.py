"""The pixels of a tile's JPEG, for a network that describes it."""

from __future__ import annotations

import simplejpeg

from ...domain.errors import TileMetadataError
from ...domain.values.pictures import Pictures


def decode_tile_picture(pixels: bytes, tile_size_pixels: int) -> Pictures:
    """The picture, of shape (1, size, size, 3). Raises `TileMetadataError` for another size, or damage.

    The size is read from the header first: a JPEG of 2 kB may claim 65500 x 65500 pixels.
    """
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(pixels)
        if (height, width) != (tile_size_pixels, tile_size_pixels):
            raise TileMetadataError(
                f"the JPEG claims {width} x {height} pixels, expected {tile_size_pixels} x {tile_size_pixels}"
            )
        picture: Pictures = simplejpeg.decode_jpeg(pixels, "RGB")
    except ValueError as error:
        raise TileMetadataError(f"the JPEG does not decode: {error}") from error
    return picture[None]
