"""What bytes that are no JPEG are instead, by their first bytes; for messages."""

from __future__ import annotations

_CONVERT = "convert the tile to a JPEG"
_FETCH = "fetch the tile again, and look at what the server answered"
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "is a PNG"),
    (8, b"WEBP", "is a WebP"),
    (0, b"GIF8", "is a GIF"),
    (4, b"ftypavi", "is an AVIF"),
    (4, b"ftyp", "is a HEIF or another ISO media file"),
    (0, b"II*\0", "is a TIFF"),
    (0, b"MM\0*", "is a TIFF"),
    (0, b"BM", "is a BMP"),
    (0, b"\0\0\0\x0cjP  ", "is a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "is a JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "is a JPEG XL"),
    (0, b"\xff\x0a", "is a JPEG XL"),
)
_HTML_MARKS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")
_BYTES_OF_TEXT = 1024


def file_kind(content: bytes) -> tuple[str, str]:
    """What the content is ("is a PNG") and what to do about it."""
    if not content:
        return "is empty", _FETCH
    for offset, signature, kind in _SIGNATURES:
        if content.startswith(signature, offset):
            return kind, _CONVERT
    if content.startswith(b"\x1f\x8b"):
        return "is compressed by gzip", "decompress the tile; the supply left a transfer encoding on it"
    text = content[:_BYTES_OF_TEXT].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<") and any(mark in text for mark in _HTML_MARKS):
        return "is an HTML page (a portal's or a server's error?)", _FETCH
    if text.startswith(b"<?xml"):
        return "is an XML document (a server's error?)", _FETCH
    if text.startswith((b"{", b"[")):
        return "is a JSON document (a server's error?)", _FETCH
    if content[:2] == b"\xff\xd8":
        return "is cut short: it ends behind the first marker of a JPEG", _FETCH
    return "is no JPEG: it does not begin with the marker of one", "store JPEG tiles"
