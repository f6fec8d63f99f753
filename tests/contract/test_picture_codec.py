"""Both codecs of pictures, held to the contract of `PictureCodec`."""

from __future__ import annotations

import pytest

from aerotile.adapters.contracts.picture_codec import SIDE, PictureCodecContract
from aerotile.adapters.memory.picture_codec import MemoryPictureCodec
from aerotile.adapters.simplejpeg.pictures import TilePictureCodec
from aerotile.domain.ports.picture_codec import PictureCodec


class TestPictureCodec(PictureCodecContract):
    @pytest.fixture(params=[MemoryPictureCodec, TilePictureCodec], ids=["memory", "simplejpeg"])
    def codec(self, request: pytest.FixtureRequest) -> PictureCodec:
        codec: PictureCodec = request.param(SIDE)
        return codec
