"""The JPEG rule: whole baseline and progressive pictures of 8 bits are taken, all else is named."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.policies.jpeg import JpegFault, JpegWalk, describe_jpeg_fault, is_picture, walk_jpeg

START, END = b"\xff\xd8", b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def frame(
    width: int = 256, height: int = 256, marker: int = 0xC0, bits: int = 8, ids: bytes = b"\1"
) -> bytes:
    components = b"".join(bytes([one, 0x11, 0]) for one in ids)
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return segment(marker, bytes([bits]) + size + bytes([len(ids)]) + components)


def scan(data: bytes = b"data", ids: bytes = b"\1") -> bytes:
    named = b"".join(bytes([one, 0]) for one in ids)
    return segment(0xDA, bytes([len(ids)]) + named + b"\0\x3f\0") + data


APP0 = segment(0xE0, b"JFIF\0" + bytes(9))
WHOLE = START + APP0 + frame() + scan() + END


def fault(pixels: bytes) -> JpegFault:
    return walk_jpeg(pixels).fault


def reason(pixels: bytes, tile_size_pixels: int = 256) -> str:
    walk = walk_jpeg(pixels)
    assert not is_picture(walk, tile_size_pixels)
    text, remedy = describe_jpeg_fault(walk, pixels, tile_size_pixels)
    assert remedy
    return text


@pytest.mark.parametrize(
    "pixels",
    [
        WHOLE,
        START + segment(0xC4, bytes(20)) + frame(marker=0xC2) + scan() + segment(0xC4, b"") + scan() + END,
        START + APP0 + b"\xff\xff" + frame() + scan() + b"\xff\xff" + END,
        START + APP0 + frame() + scan(b"a\xff\0b\xff\xd0c\xff\xd7\xff\0") + END,
        START + APP0 + frame(ids=b"\1\2\3") + scan(ids=b"\1\2\3") + END,
        START + APP0 + frame(ids=b"\1\2\3") + scan(ids=b"\1") + scan(ids=b"\2\3") + END,
        START + APP0 + frame(ids=b"CMYK") + scan(ids=b"CMYK") + END,
    ],
    ids=["baseline", "progressive", "fill", "stuffed_and_restarted", "colour", "scan_by_scan", "four"],
)
@pytest.mark.parametrize("behind", [b"", b"\0\0\0", b"\xff", END, b"PK\x05\x06", WHOLE], ids=repr)
def test_a_whole_picture_is_taken_with_whatever_stands_behind_it(pixels: bytes, behind: bytes) -> None:
    assert walk_jpeg(pixels + behind) == JpegWalk(JpegFault.NONE, len(pixels), 256, 256)


@given(st.integers(0, 65535), st.integers(1, 65535))
def test_the_size_of_the_header_must_be_the_declared_one(width: int, height: int) -> None:
    walk = walk_jpeg(START + APP0 + frame(width, height) + scan() + END)
    assert (walk.width, walk.height) == (width, height)
    assert is_picture(walk, width) == (width == height)
    assert not is_picture(walk, 256) or width == 256


def test_a_picture_of_another_size_is_refused_with_both_sizes() -> None:
    text = reason(START + APP0 + frame(512, 512) + scan() + END)
    assert text == "is 512 x 512 pixels, expected 256 x 256 (tiles.tile_size_pixels)"


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_picture_that_is_cut_anywhere_is_refused(length: int) -> None:
    assert fault(WHOLE[:length]) is (JpegFault.NO_START if length < 3 else JpegFault.CUT_SHORT)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (START + APP0 + frame() + END, JpegFault.NO_SCAN),
        (START + APP0 + frame() + scan(b"") + END, JpegFault.NO_SCAN),
        (START + APP0 + frame() + scan(b"\xff\xd0\xff\xff") + END, JpegFault.NO_SCAN),
        (START + APP0 + frame() + scan() + scan(b"") + END, JpegFault.NO_SCAN),
        (START + APP0 + scan() + frame() + END, JpegFault.NO_FRAME),
        (START + APP0 + END, JpegFault.NO_FRAME),
        (START + APP0 + frame() + frame() + scan() + END, JpegFault.BAD_MARKER),
        (START + APP0 + frame() + b"x" + scan() + END, JpegFault.BAD_MARKER),
        (START + APP0 + START + frame() + scan() + END, JpegFault.BAD_MARKER),
        (START + APP0 + b"\xff\0" + frame() + scan() + END, JpegFault.BAD_MARKER),
        (START + APP0 + b"\xff\xd3" + frame() + scan() + END, JpegFault.BAD_MARKER),
        (START + b"\xff\xe0\0\1" + frame() + scan() + END, JpegFault.BAD_SEGMENT),
        (START + APP0 + segment(0xC0, b"\x08\1\0\1\0") + scan() + END, JpegFault.BAD_SEGMENT),
        (START + APP0 + segment(0xC0, b"\x08\1\0\1\0\3\1\x11\0") + scan() + END, JpegFault.BAD_SEGMENT),
        (START + APP0 + frame() + scan(ids=b"\2") + END, JpegFault.BAD_SEGMENT),
        (START + APP0 + frame() + scan(ids=b"") + END, JpegFault.BAD_SEGMENT),
        (START + APP0 + frame() + segment(0xDA, b"") + b"x" + END, JpegFault.BAD_SEGMENT),
        (START + APP0 + frame(ids=b"\1\2\3") + scan(ids=b"\1\1") + END, JpegFault.BAD_SEGMENT),
        (START + APP0 + frame(height=0) + scan() + END, JpegFault.NO_HEIGHT),
        (START + APP0 + frame() + scan() + segment(0xDC, b"\1\0") + END, JpegFault.NO_HEIGHT),
        (START + APP0 + frame(ids=b"\1\2") + scan(ids=b"\1\2") + END, JpegFault.COMPONENTS),
        (START + APP0 + frame(ids=b"") + scan() + END, JpegFault.COMPONENTS),
        (START + APP0 + frame(ids=b"\1\2\3") + scan(ids=b"\1\2") + END, JpegFault.COMPONENTS),
    ],
)
def test_what_no_decoder_shows_is_refused(pixels: bytes, expected: JpegFault) -> None:
    assert fault(pixels) is expected
    assert reason(pixels)


@pytest.mark.parametrize(
    ("marker", "bits", "name"),
    [
        (0xC0, 12, "a 12-bit baseline JPEG"),
        (0xC1, 12, "a 12-bit extended sequential JPEG"),
        (0xC2, 12, "a 12-bit progressive JPEG"),
        (0xC1, 8, "an extended sequential JPEG"),
        (0xC3, 8, "a lossless JPEG"),
        (0xC3, 16, "a 16-bit lossless JPEG"),
        (0xC5, 8, "a hierarchical JPEG"),
        (0xC9, 8, "an arithmetic-coded JPEG"),
        (0xCA, 8, "an arithmetic-coded progressive JPEG"),
        (0xF7, 8, "a JPEG-LS"),
        (0xC8, 8, "an unknown kind of JPEG"),
    ],
)
def test_other_coding_processes_are_refused_by_name(marker: int, bits: int, name: str) -> None:
    pixels = START + APP0 + frame(marker=marker, bits=bits) + scan() + END
    assert fault(pixels) is JpegFault.PROCESS
    assert reason(pixels) == f"is {name}, not a baseline or progressive one of 8 bits"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is a PNG"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "is a WebP"),
        (b"GIF89a\1\0\xff\xd9", "is a GIF"),
        (b"\0\0\0\x20ftypavif", "is an AVIF"),
        (b"\0\0\0\x18ftypheic", "is a HEIF or another ISO media file"),
        (b"II*\0\x08\0\0\0", "is a TIFF"),
        (b"\0\0\0\x0cjP  \r\n", "is a JPEG 2000"),
        (b"\x1f\x8b\x08\0", "is compressed by gzip"),
        (b"<!DOCTYPE html><html>", "is an HTML page (a portal's or a server's error?)"),
        (b"\xef\xbb\xbf \r\n<HTML lang=en>", "is an HTML page (a portal's or a server's error?)"),
        (b"<?xml version='1.0'?><html>", "is an HTML page (a portal's or a server's error?)"),
        (b"<?xml version='1.0'?><ServiceException>", "is an XML document (a server's error?)"),
        (b' {"error": "quota"}', "is a JSON document (a server's error?)"),
        (b"no picture", "is no JPEG: it does not begin with the marker of one"),
    ],
)
def test_what_is_no_jpeg_is_named_for_what_it_is(content: bytes, kind: str) -> None:
    assert fault(content) is JpegFault.NO_START
    assert reason(content) == kind


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff" * 100)
@example(b"\xff\xe0\x00\x02" * 50)
def test_any_bytes_are_judged_without_an_error(body: bytes) -> None:
    for pixels in (body, START + b"\xff" + body, START + APP0 + frame() + scan() + body):
        walk = walk_jpeg(pixels)
        assert 0 <= walk.position <= len(pixels)
        if walk.fault:
            assert reason(pixels)


@given(st.binary(max_size=60), st.integers(28, 90), st.sampled_from([1, 256, 4096]))
def test_the_example_of_a_jpeg_passes_with_any_content(content: bytes, size: int, side: int) -> None:
    assert is_picture(walk_jpeg(example_jpeg(content, tile_size_pixels=side)), side)
    cut = example_jpeg(content, size, tile_size_pixels=side)
    assert len(cut) == size
    assert is_picture(walk_jpeg(cut), side)
