"""The contract of `PictureCodec`."""

from __future__ import annotations

import numpy as np
import pytest

from ...domain.errors import TileMetadataError
from ...domain.policies.jpeg import is_picture, walk_jpeg
from ...domain.ports.picture_codec import PictureCodec
from ...domain.values.pictures import Picture

SIDE = 32


def slope() -> Picture:
    """A picture that no JPEG changes by much."""
    along = np.linspace(20, 230, SIDE, dtype=np.uint8)
    picture: Picture = np.repeat(np.broadcast_to(along, (SIDE, SIDE))[..., np.newaxis], 3, axis=2)
    return picture


class PictureCodecContract:
    """Holds codecs of 32 x 32 pixels, made by the fixture `codec`."""

    def test_a_picture_comes_back_as_it_went(self, codec: PictureCodec) -> None:
        back = codec.decode(codec.encode(slope()))
        assert back.dtype == np.uint8
        assert np.abs(back.astype(int) - slope()).max() <= 8

    def test_what_it_encodes_passes_the_gate_of_tiles(self, codec: PictureCodec) -> None:
        encoded = codec.encode(slope())
        assert is_picture(walk_jpeg(encoded), SIDE)
        assert codec.encode(slope()) == encoded

    def test_a_view_of_a_larger_picture_is_encoded_as_its_copy(self, codec: PictureCodec) -> None:
        larger = np.concatenate([slope(), slope()], axis=1)
        assert codec.encode(larger[:, :SIDE]) == codec.encode(slope())

    @pytest.mark.parametrize("damage", ["cut", "empty", "no picture", "another size"])
    def test_what_is_no_picture_of_a_tile_is_refused(self, codec: PictureCodec, damage: str) -> None:
        whole = codec.encode(slope())
        wrong = {
            "cut": whole[: len(whole) // 4],
            "empty": b"",
            "no picture": b"<html></html>",
            "another size": codec.encode(np.zeros((SIDE // 2, SIDE // 2, 3), np.uint8)),
        }[damage]
        with pytest.raises(TileMetadataError):
            codec.decode(wrong)
