"""Every `PictureDecoder` fulfils its contract; libjpeg-turbo finds the damage that no walk finds."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from aerotile.adapters.simplejpeg.picture_decoder import SimplejpegDecoder
from aerotile.domain.policies.jpeg import is_picture, walk_jpeg
from aerotile.domain.ports.picture_decoder import DecodedPicture
from aerotile.testing import (
    MemoryPictureDecoder,
    PictureDecoderContract,
    PictureDecoderSubject,
    example_jpeg,
)


def encoded(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", **options)
    return stream.getvalue()


NOISE = np.random.default_rng(18).integers(0, 256, (256, 256, 3), dtype=np.uint8)
WHOLE = encoded(NOISE)
BLANK = encoded(np.full((256, 256, 3), (200, 30, 77), dtype=np.uint8))
CUT_SHORT = WHOLE[: len(WHOLE) // 2].rstrip(b"\xff") + b"\xff\xd9"


class TestMemoryPictureDecoder(PictureDecoderContract):
    @pytest.fixture
    def subject(self) -> PictureDecoderSubject:
        whole, blank, cut_short = (example_jpeg(name) for name in (b"whole", b"blank", b"cut"))
        found = {
            blank: DecodedPicture(is_blank=True),
            cut_short: DecodedPicture(damage="its picture ends before its size does"),
        }
        return PictureDecoderSubject(MemoryPictureDecoder(found), whole, blank, cut_short)


class TestSimplejpegDecoder(PictureDecoderContract):
    @pytest.fixture
    def subject(self) -> PictureDecoderSubject:
        return PictureDecoderSubject(SimplejpegDecoder(), WHOLE, BLANK, CUT_SHORT)


@pytest.mark.parametrize(
    "pixels",
    [
        encoded(NOISE, progressive=True),
        encoded(NOISE[:, :, 0]),
        encoded(NOISE, subsampling=0, quality=100),
        encoded(NOISE, restart_marker_rows=1),
    ],
    ids=["progressive", "grey", "4:4:4", "restarts"],
)
def test_whole_pictures_of_every_kind_that_the_gate_takes_decode(pixels: bytes) -> None:
    assert is_picture(walk_jpeg(pixels), 256)
    assert SimplejpegDecoder().decode(pixels) == DecodedPicture()


def test_two_colours_of_one_brightness_are_not_blank() -> None:
    halves = np.full((256, 256, 3), (128, 128, 128), dtype=np.uint8)
    ycc = np.array(Image.fromarray(halves).convert("YCbCr"))
    ycc[:, 128:, 1] += 40
    stream = io.BytesIO()
    Image.fromarray(ycc, "YCbCr").save(stream, "JPEG", quality=95, subsampling=0)
    assert SimplejpegDecoder().decode(stream.getvalue()) == DecodedPicture()


@pytest.mark.parametrize("length", [700, 2_000, len(WHOLE) - 300])
def test_a_picture_that_ends_too_early_passes_the_walk_and_not_the_decoder(length: int) -> None:
    cut = WHOLE[:length].rstrip(b"\xff") + b"\xff\xd9"
    assert is_picture(walk_jpeg(cut), 256)
    damage = SimplejpegDecoder().decode(cut).damage
    assert damage == "its picture ends before its size does"


def test_a_picture_whose_scan_is_damaged_is_refused_with_the_words_of_the_library() -> None:
    damaged = bytearray(WHOLE)
    damaged[3_000:3_400] = bytes(400)
    damage = SimplejpegDecoder().decode(bytes(damaged)).damage
    assert damage is not None
    assert damage.startswith("its picture is damaged (")
