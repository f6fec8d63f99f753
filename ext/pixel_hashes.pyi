"""The SHA-256 and the JPEG walk of many tiles."""

from collections.abc import Iterable
from typing import final

@final
class HashedPixels:
    """A tile's bytes, their SHA-256 and the walk over their markers."""

    def __init__(self, pixels: bytes) -> None: ...

def hash_pixels(many: Iterable[bytes]) -> list[HashedPixels]:
    """The SHA-256 of each of many tiles' bytes and the walk over its markers, without the GIL."""
