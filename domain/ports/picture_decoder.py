"""`PictureDecoder`: decodes a picture once, because no walk over markers finds one that ends too early."""

from __future__ import annotations

from typing import Protocol

import attrs


@attrs.frozen
class DecodedPicture:
    """What decoding a picture showed."""

    damage: str | None = None
    """Why the picture does not decode whole, or None."""
    is_blank: bool = False
    """Whether all pixels have one colour."""


class PictureDecoder(Protocol):
    """Decodes JPEGs; from several threads at once."""

    def decode(self, pixels: bytes) -> DecodedPicture:
        """Decode a whole JPEG. The caller has checked its size in pixels, which bounds the memory for it."""
