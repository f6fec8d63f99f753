"""Just enough of JPEG (ITU-T T.81, annex B) to learn an image's size without decoding it.

A file of a few kilobytes may claim 65,500 x 65,500 pixels; decoding it unchecked allocates gigabytes.
"""

from __future__ import annotations

_START_OF_IMAGE = b"\xff\xd8\xff"
_END_OF_IMAGE = b"\xff\xd9"
# Start-of-frame markers C0..CF, less DHT (C4), JPG (C8) and DAC (CC), which share the range.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA


def has_jpeg_markers(pixels: bytes) -> bool:
    """Whether the bytes begin and end as a JPEG does."""
    return pixels.startswith(_START_OF_IMAGE) and pixels.endswith(_END_OF_IMAGE)


def read_jpeg_size(pixels: bytes) -> tuple[int, int]:
    """The (width, height) in pixels that the frame header claims. Raises `ValueError` when it is no JPEG."""
    if not has_jpeg_markers(pixels):
        raise ValueError("not a JPEG: its start or end marker is missing")
    position = 2
    while position + 4 <= len(pixels):
        if pixels[position] != 0xFF:
            raise ValueError(f"not a JPEG: no marker at byte {position}")
        marker = pixels[position + 1]
        if marker == 0xFF:  # a fill byte before a marker
            position += 1
            continue
        length = int.from_bytes(pixels[position + 2 : position + 4], "big")
        if length < 2:
            raise ValueError(f"not a JPEG: a segment of length {length} at byte {position}")
        if marker in _START_OF_FRAME:
            frame = pixels[position + 4 : position + 9]
            if len(frame) < 5:
                break
            return int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
        if marker == _START_OF_SCAN:
            break
        position += 2 + length
    raise ValueError("not a JPEG: it has no frame header")
