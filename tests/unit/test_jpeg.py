"""The size of a JPEG, read from its frame header alone."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aerotile.domain.policies.jpeg import has_jpeg_markers, read_jpeg_size

START, END = b"\xff\xd8", b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    return segment(
        marker, b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x03" + bytes(9)
    )


APP0 = segment(0xE0, b"JFIF\0" + bytes(9))


@given(st.integers(0, 65535), st.integers(0, 65535), st.sampled_from([0xC0, 0xC1, 0xC2, 0xCF]))
def test_width_and_height_come_from_the_frame_header(width: int, height: int, marker: int) -> None:
    pixels = START + APP0 + segment(0xC4, bytes(20)) + frame(width, height, marker) + END
    assert read_jpeg_size(pixels) == (width, height)


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    assert read_jpeg_size(START + APP0 + b"\xff\xff" + frame(256, 128) + END) == (256, 128)


@given(st.binary(max_size=200))
@example(b"")
@example(APP0)
@example(APP0 + segment(0xDA, bytes(8)) + frame(1, 1))
@example(b"\xff\xe0\x00\x01")
@example(b"\xff\xc0\x00\x04\x08\x00")
def test_anything_else_is_refused_without_another_error(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        width, height = read_jpeg_size(START + body + END)
        assert 0 <= width <= 65535
        assert 0 <= height <= 65535


@pytest.mark.parametrize("pixels", [b"", START, START + END, b"\x89PNG\r\n", START + b"\xff\xe0"])
def test_bytes_without_both_markers_are_no_jpeg(pixels: bytes) -> None:
    assert not has_jpeg_markers(pixels) or pixels == START + END
    with pytest.raises(ValueError, match="not a JPEG"):
        read_jpeg_size(pixels)
