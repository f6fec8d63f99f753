"""Tiles that were read from imagery, as the store is offered them."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen(eq=False)
class ReadTile:
    """An `OfferedTile` in memory."""

    name: str
    zoom_level: int
    x: int
    y: int
    pixels: bytes
    captured_at: datetime | None = None
    """What the source says."""
    version: tuple[str, str] | None = None
    """The name of the source that all of it is of, and the version that it is there."""

    @property
    def size(self) -> int:
        return len(self.pixels)

    def read_pixels(self, most_bytes: int) -> bytes:
        return self.pixels[:most_bytes]

    def claimed_sha256(self) -> str | None:
        return None
