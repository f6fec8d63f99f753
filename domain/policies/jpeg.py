"""The one JPEG rule (ITU-T T.81, annex B): which pictures decoders show, by their markers alone.

`walk_jpeg` follows the markers from the start of the image through the data of every scan to its end. Bytes
behind the end are no concern of it. `ext.walk_jpeg` is the compiled twin. No walk finds a scan that holds too
little data, because only a decoder knows how much a picture needs.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from .file_kinds import file_kind

_START = b"\xff\xd8\xff"
_JFIF_SEGMENT, _COMMENT = b"\xff\xe0", b"\xff\xfe"
_MOST_COMMENT_BYTES = 200
_DHT, _DAC = 0xC4, 0xCC
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _NUMBER_OF_LINES = 0xD8, 0xD9, 0xDA, 0xDC
_JPEG_LS = 0xF7
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_SAMPLE_BITS = 8
_SHOWN_COMPONENTS = (1, 3, 4)
_PROCESSES = {
    0xC0: "baseline",
    0xC1: "extended sequential",
    0xC2: "progressive",
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical lossless",
    0xC9: "arithmetic-coded",
    0xCA: "arithmetic-coded progressive",
    0xCB: "arithmetic-coded lossless",
    0xCD: "arithmetic-coded hierarchical",
    0xCE: "arithmetic-coded hierarchical",
    0xCF: "arithmetic-coded hierarchical lossless",
    _JPEG_LS: "JPEG-LS",
}
"""Coding processes by the marker of their frame header (T.81, table B.1)."""


class JpegFault(IntEnum):
    """What is wrong with a picture. The compiled twin has the same numbers."""

    NONE = 0
    NO_START = 1
    """The bytes don't begin as a JPEG does."""
    BAD_MARKER = 2
    """No marker, or one that can't stand there."""
    BAD_SEGMENT = 3
    """A header whose length or numbers are impossible."""
    CUT_SHORT = 4
    """The bytes end before the end of the image."""
    NO_FRAME = 5
    """A scan, or the end, comes before a frame header."""
    NO_SCAN = 6
    """No scan, or one without data."""
    NO_HEIGHT = 7
    """The height is left to a later marker (DNL)."""
    PROCESS = 8
    """A coding process other than baseline or progressive, or samples of other than 8 bits."""
    COMPONENTS = 9
    """A number of colour components that no decoder shows, or a component without a scan."""


class JpegWalk(NamedTuple):
    """What a walk over the markers found."""

    fault: JpegFault
    position: int
    """The byte that the fault concerns; without a fault, the first byte behind the image."""
    width: int = 0
    """In pixels, by the frame header; 0 before one was met."""
    height: int = 0

    @classmethod
    def of(cls, found: tuple[int, int, int, int]) -> JpegWalk:
        """The walk that the compiled twin returned."""
        fault, position, width, height = found
        return cls(JpegFault(fault), position, width, height)


def walk_jpeg(pixels: bytes) -> JpegWalk:
    """Follow the markers from the start of the image to its end, or to the first fault."""
    if not pixels.startswith(_START):
        return JpegWalk(JpegFault.NO_START, 0)
    end = len(pixels)
    width = height = 0
    components = b""
    unscanned: set[int] = set()
    scanned = False
    position = 2

    def ended(fault: JpegFault, at: int) -> JpegWalk:
        return JpegWalk(fault, at, width, height)

    while position + 2 <= end:
        marker = pixels[position + 1]
        if pixels[position] != 0xFF:
            return ended(JpegFault.BAD_MARKER, position)
        if marker == 0xFF:  # a fill byte before a marker
            position += 1
            continue
        if marker == _END_OF_IMAGE:
            if not components:
                return ended(JpegFault.NO_FRAME, position)
            if not scanned:
                return ended(JpegFault.NO_SCAN, position)
            if unscanned:
                return ended(JpegFault.COMPONENTS, position)
            return ended(JpegFault.NONE, position + 2)
        if marker < 0xC0 or 0xD0 <= marker <= _START_OF_IMAGE:
            return ended(JpegFault.BAD_MARKER, position)
        if position + 4 > end:
            break
        length = int.from_bytes(pixels[position + 2 : position + 4], "big")
        behind = position + 2 + length
        if length < 2:
            return ended(JpegFault.BAD_SEGMENT, position)
        if behind > end:
            break
        segment = pixels[position + 4 : behind]
        if marker == _NUMBER_OF_LINES:
            return ended(JpegFault.NO_HEIGHT, position)
        if marker == _START_OF_SCAN:
            if not components:
                return ended(JpegFault.NO_FRAME, position)
            count = segment[0] if segment else 0
            named = set(segment[1 : 2 * count : 2])
            if length != 6 + 2 * count or not named <= set(components) or not 0 < count == len(named):
                return ended(JpegFault.BAD_SEGMENT, position)
            behind, has_data = _end_of_scan(pixels, behind)
            if not has_data:
                return ended(JpegFault.NO_SCAN, position)
            scanned = True
            unscanned -= named
        elif (0xC0 <= marker <= 0xCF and marker not in (_DHT, _DAC)) or marker == _JPEG_LS:
            if len(segment) < 6:
                return ended(JpegFault.BAD_SEGMENT, position)
            if components:
                return ended(JpegFault.BAD_MARKER, position)
            height, width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
            if marker not in (_BASELINE, _PROGRESSIVE) or segment[0] != _SAMPLE_BITS:
                return ended(JpegFault.PROCESS, position)
            if height == 0:
                return ended(JpegFault.NO_HEIGHT, position)
            if segment[5] not in _SHOWN_COMPONENTS:
                return ended(JpegFault.COMPONENTS, position)
            if length != 8 + 3 * segment[5]:
                return ended(JpegFault.BAD_SEGMENT, position)
            components = segment[6::3]
            unscanned = set(components)
        position = behind
    return ended(JpegFault.CUT_SHORT, end)


def _end_of_scan(pixels: bytes, position: int) -> tuple[int, bool]:
    """Where the marker behind a scan's data stands, or the end of the bytes; and whether there is any data.

    In the data FF 00 stands for the byte FF, and restart markers (FF D0 to FF D7) may stand anywhere. A
    scan that goes on to the end of the bytes counts as one with data.
    """
    has_data = False
    while True:
        found = pixels.find(b"\xff", position)
        if found < 0 or found + 2 > len(pixels):
            return len(pixels), True
        has_data = has_data or found > position or pixels[found + 1] == 0
        if pixels[found + 1] == 0xFF:
            position = found + 1
        elif pixels[found + 1] == 0 or 0xD0 <= pixels[found + 1] <= 0xD7:
            position = found + 2
        else:
            return found, has_data


def is_picture(walk: JpegWalk, tile_size_pixels: int) -> bool:
    """Whether the walked bytes are a JPEG without fault, as wide and as high as the tile."""
    return walk.fault is JpegFault.NONE and walk.width == walk.height == tile_size_pixels


def describe_jpeg_fault(walk: JpegWalk, pixels: bytes, tile_size_pixels: int) -> tuple[str, str]:
    """Why the walked bytes are no tile of that size ("is a PNG"), and what to do about it."""
    fault, position, width, height = walk
    size = f"{tile_size_pixels} x {tile_size_pixels}"
    if fault is JpegFault.NONE:
        return (
            f"is {width} x {height} pixels, expected {size} (tiles.tile_size_pixels)",
            f"cut tiles of {size} pixels, or set tiles.tile_size_pixels to the size of the tiles",
        )
    if fault is JpegFault.NO_START:
        return file_kind(pixels)
    reencode = "encode it again as a baseline or progressive JPEG of 8 bits"
    if fault is JpegFault.PROCESS:
        bits = pixels[position + 4]
        process = _PROCESSES.get(pixels[position + 1], "unknown kind of")
        kind = process if bits == _SAMPLE_BITS else f"{bits}-bit {process}"
        kind = kind if kind.endswith("JPEG-LS") else f"{kind} JPEG"
        article = "an" if kind[0] in "aeu" else "a"
        return f"is {article} {kind}, not a baseline or progressive one of 8 bits", reencode
    reasons = {
        JpegFault.BAD_MARKER: f"is no whole JPEG: no marker can stand as it does at byte {position}",
        JpegFault.BAD_SEGMENT: f"is no whole JPEG: the header at byte {position} is impossible",
        JpegFault.CUT_SHORT: f"is cut short: it ends at byte {position} without the end of its picture",
        JpegFault.NO_FRAME: f"is no whole JPEG: it has no frame header before byte {position}",
        JpegFault.NO_SCAN: f"has no scan data: nothing of a picture stands at byte {position}",
        JpegFault.NO_HEIGHT: "leaves its height to a later marker (DNL), which decoders don't read",
        JpegFault.COMPONENTS: "has a number of colour components, or of their scans, that no decoder shows",
    }
    again = fault in (JpegFault.NO_HEIGHT, JpegFault.COMPONENTS)
    return reasons[fault], reencode if again else "fetch or make the tile again"


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The picture with a comment in its header (T.81, B.2.4.5), behind the JFIF segment where it has one."""
    content = text.encode("ascii")[:_MOST_COMMENT_BYTES]
    position = 2
    if jpeg[2:4] == _JFIF_SEGMENT:
        position = 4 + int.from_bytes(jpeg[4:6], "big")
    comment = _COMMENT + (2 + len(content)).to_bytes(2, "big") + content
    return jpeg[:position] + comment + jpeg[position:]
