"""The contract of `PictureDecoder`: damaged and blank pictures are told from others, on any thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from ...domain.ports.picture_decoder import DecodedPicture, PictureDecoder


@attrs.frozen
class PictureDecoderSubject:
    """The decoder under test, and pictures for it."""

    decoder: PictureDecoder
    whole: bytes
    blank: bytes
    """Of one colour."""
    cut_short: bytes
    """With every marker, and too little data."""


class PictureDecoderContract:
    """Tests that every `PictureDecoder` passes. Override `subject`."""

    @pytest.fixture
    def subject(self) -> PictureDecoderSubject:
        """The decoder under test and pictures for it. Override it."""
        raise NotImplementedError

    def test_a_whole_picture_has_no_damage(self, subject: PictureDecoderSubject) -> None:
        assert subject.decoder.decode(subject.whole) == DecodedPicture()
        assert subject.decoder.decode(subject.whole + b"\0\0\0") == DecodedPicture()

    def test_a_picture_of_one_colour_is_blank(self, subject: PictureDecoderSubject) -> None:
        assert subject.decoder.decode(subject.blank) == DecodedPicture(is_blank=True)

    def test_a_picture_that_ends_too_early_is_damaged(self, subject: PictureDecoderSubject) -> None:
        found = subject.decoder.decode(subject.cut_short)
        assert found.damage is not None
        assert "ends before its size does" in found.damage

    def test_any_number_of_threads_may_decode(self, subject: PictureDecoderSubject) -> None:
        pictures = [subject.whole, subject.blank, subject.cut_short] * 20
        one_by_one = [subject.decoder.decode(picture) for picture in pictures]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(subject.decoder.decode, pictures)) == one_by_one
