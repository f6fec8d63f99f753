"""The SHA-256 of many tiles."""

from collections.abc import Iterable
from typing import final

@final
class HashedPixels:
    """A tile's bytes and their SHA-256."""

    def __init__(self, pixels: bytes) -> None: ...

def hash_pixels(many: Iterable[bytes]) -> list[HashedPixels]:
    """The SHA-256 of each of many tiles' bytes, in one stretch without the GIL."""
