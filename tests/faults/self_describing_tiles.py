"""Tiles whose bytes say which tile they are, so that anybody who reads one can tell whether it is right."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone

from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource, VotingStatus

_BEFORE_CONTENT = example_jpeg(b" ").index(b" ")


def tile_of(tile_id: TileId, nonce: int, *, size: int) -> tuple[bytes, TileMetadata]:
    """A tile of about `size` bytes; another `nonce`, other content."""
    pixels = _pixels(f"{tile_id} {nonce} {size} ".encode(), size)
    return pixels, example_metadata(
        tile_id,
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.15,
        voting_status=VotingStatus.PENDING if tile_id.source is TileSource.ONBOARD else None,
    )


def check(tile_id: TileId, pixels: bytes) -> None:
    """Raise `AssertionError` unless these are the bytes of some write of this very tile, whole."""
    named, nonce, size, _ = pixels[_BEFORE_CONTENT:].split(b" ", 3)
    assert named.decode() == str(tile_id), f"{tile_id} reads as {named!r}"
    head = b"%b %b %b " % (named, nonce, size)
    assert pixels == _pixels(head, int(size)), f"{tile_id} is torn"


def _pixels(head: bytes, size: int) -> bytes:
    return example_jpeg(head + hashlib.shake_128(head).digest(size))
