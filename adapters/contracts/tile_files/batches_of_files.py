"""Tiles that are staged and placed together."""

from __future__ import annotations

import hashlib

import pytest

from ....domain.errors import ContentHashMismatchError, TileCacheError, TileMetadataError
from ....domain.ports.tile_files import TileFiles
from ....domain.values.tiles import TileId, TileSource
from .subject import NEIGHBOUR, ONBOARD, TILE, OfTileFiles, jpeg, metadata, read


class BatchesOfFiles(OfTileFiles):
    """Tiles that are staged and placed together."""

    def test_a_batch_is_placed_whole(self, files: TileFiles) -> None:
        contents = {tile_id: jpeg(str(tile_id).encode()) for tile_id in (TILE, NEIGHBOUR, ONBOARD)}
        staged = [files.stage(pixels, metadata(pixels, tile_id)) for tile_id, pixels in contents.items()]
        assert files.place_many(staged) == [None, None, None]
        assert {tile_id: read(files, tile_id) for tile_id in contents} == contents
        assert all(
            files.sidecar_sha256(tile_id) == hashlib.sha256(p).hexdigest() for tile_id, p in contents.items()
        )

    def test_a_batch_is_staged_in_order_and_says_of_each_tile_why_it_is_refused(
        self, files: TileFiles
    ) -> None:
        tiles = [(jpeg(b"%d" % y), TileId(9, 1, y, TileSource.IMPORTED)) for y in range(40)]
        batch = [(pixels, metadata(pixels, tile_id)) for pixels, tile_id in tiles]
        batch[7] = (jpeg(b"other"), batch[7][1])
        batch[23] = (b"GIF89a", metadata(b"GIF89a", tiles[23][1]))
        staged = files.stage_many(batch)
        assert isinstance(staged[7], ContentHashMismatchError)
        assert isinstance(staged[23], TileMetadataError)
        assert list(files.inventory()) == []
        good = [
            (tile, one)
            for tile, one in zip(tiles, staged, strict=True)
            if not isinstance(one, TileCacheError)
        ]
        assert len(good) == 38
        assert files.place_many([one for _, one in good]) == [None] * 38
        assert all(read(files, tile_id) == pixels for (pixels, tile_id), _ in good)

    def test_a_batch_of_anything_but_bytes_is_not_staged(self, files: TileFiles) -> None:
        pixels = jpeg()
        with pytest.raises(TypeError):
            files.stage_many([(bytearray(pixels), metadata(pixels))] * 20)  # type: ignore[list-item]  # refused

    def test_an_empty_batch_is_no_work(self, files: TileFiles) -> None:
        assert files.stage_many([]) == []
        assert files.place_many([]) == []

    def test_tiles_of_a_batch_can_be_withdrawn_and_placed_again(self, files: TileFiles) -> None:
        staged = [files.stage(jpeg(), metadata(jpeg(), tile_id)) for tile_id in (TILE, NEIGHBOUR)]
        files.place_many(staged)
        for tile in staged:
            files.withdraw(tile)
        assert list(files.inventory()) == []
        assert files.place_many(staged) == [None, None]
        assert files.exists(TILE)
