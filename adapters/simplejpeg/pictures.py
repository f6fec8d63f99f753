"""Tiles' JPEGs as pixels and pixels as JPEGs, for networks that describe them and for mosaics."""

from __future__ import annotations

import attrs
import numpy as np
import simplejpeg

from ...domain.errors import TileMetadataError
from ...domain.values.pictures import JPEG_QUALITY, Picture, Pictures


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


@attrs.frozen
class TilePictureCodec:
    """See `PictureCodec`."""

    tile_size_pixels: int

    def decode(self, jpeg: bytes) -> Picture:
        picture: Picture = decode_tile_picture(jpeg, self.tile_size_pixels)[0]
        return picture

    def encode(self, picture: Picture) -> bytes:
        encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), JPEG_QUALITY, "RGB", "420")
        return encoded
