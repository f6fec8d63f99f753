"""`PictureCodec`: pictures of tiles as pixels, and pixels as the JPEG of a tile."""

from __future__ import annotations

from typing import Protocol

from ..values.pictures import Picture


class PictureCodec(Protocol):
    """Decodes and encodes pictures of `tiles.tile_size_pixels`; from any number of threads."""

    def decode(self, jpeg: bytes) -> Picture:
        """The pixels of a tile's JPEG. Raises `TileMetadataError` for another size, or damage."""

    def encode(self, picture: Picture) -> bytes:
        """The picture as a JPEG; the same bytes for the same pixels."""
