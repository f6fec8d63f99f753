"""`MemoryPictureCodec`: a `PictureCodec` whose JPEGs no decoder shows, for tests without a library."""

from __future__ import annotations

import attrs
import numpy as np

from ...domain.errors import TileMetadataError
from ...domain.values.pictures import Picture
from .example_jpeg import example_jpeg

_MARK = b"pixels "


@attrs.frozen
class MemoryPictureCodec:
    """See `PictureCodec`. Pixels stand as hexadecimal digits in place of scan data, so none is lost."""

    tile_size_pixels: int = 256

    def decode(self, jpeg: bytes) -> Picture:
        _, _, behind = jpeg.partition(_MARK)
        try:
            pixels = np.frombuffer(bytes.fromhex(behind[:-2].decode("ascii")), np.uint8)
        except ValueError as error:
            raise TileMetadataError(f"the JPEG does not decode: {error}") from error
        shape = (self.tile_size_pixels, self.tile_size_pixels, 3)
        if pixels.size != np.prod(shape):
            raise TileMetadataError(f"the JPEG has {pixels.size} values, expected shape {shape}")
        return pixels.reshape(shape)

    def encode(self, picture: Picture) -> bytes:
        return example_jpeg(
            _MARK + picture.tobytes().hex().encode("ascii"), tile_size_pixels=self.tile_size_pixels
        )
