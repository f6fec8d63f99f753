"""A decoder of pictures for tests, which knows what it finds."""

from __future__ import annotations

from collections.abc import Mapping

from ...domain.ports.picture_decoder import DecodedPicture


class MemoryPictureDecoder:
    """A `PictureDecoder` that finds what it was given; every other picture is whole."""

    def __init__(self, found: Mapping[bytes, DecodedPicture] | None = None) -> None:
        self._found = dict(found or {})

    def decode(self, pixels: bytes) -> DecodedPicture:
        return self._found.get(pixels, DecodedPicture())
