"""Bytes that every hash gate takes as a tile, for tests that need no picture."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any

from ...domain.values.tiles import TileId, TileMetadata

_FOLLOWED = re.compile(rb"\xff.", re.DOTALL)
_END = b"\xff\xd9"


def example_jpeg(content: bytes = b"", size: int | None = None, *, tile_size_pixels: int = 256) -> bytes:
    """Bytes with the structure of a baseline JPEG of that many pixels, and `content` in place of scan data.

    No decoder shows them. With `size` the content is cut, or filled with zeros, until all is `size` bytes
    long. What follows a byte FF of the content becomes zero, as scan data have it. Raises `ValueError` for a
    size that is too small.
    """
    frame = b"\xff\xc0\x00\x0b\x08" + tile_size_pixels.to_bytes(2, "big") * 2 + b"\x01\x01\x11\x00"
    start = b"\xff\xd8" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    if size is not None:
        room = size - len(start) - len(_END)
        if room < 1:
            raise ValueError(f"an example of a JPEG has no room in {size} bytes")
        content = content[:room].ljust(room, b"\0")
    data = _FOLLOWED.sub(b"\xff\0", content or b"\0")
    return start + (data[:-1] + b"\xfe" if data.endswith(b"\xff") else data) + _END


def example_metadata(
    tile_id: TileId,
    pixels: bytes,
    *,
    captured_at: datetime,
    ground_sample_distance: float = 1.0,
    **facts: Any,
) -> TileMetadata:
    """The metadata of a tile with these bytes, and the other `facts` of its fields."""
    return TileMetadata(
        tile_id=tile_id,
        captured_at=captured_at,
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=ground_sample_distance,
        **facts,
    )
