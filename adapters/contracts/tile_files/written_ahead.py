"""Batches that are prewritten before their duplicates are known."""

from __future__ import annotations

import pytest

from ....domain.ports.tile_files import StagedTile, TileFiles
from ....domain.values.inventory import FoundKind
from ....domain.values.tiles import TileId, TileSource
from .subject import OfTileFiles, jpeg, metadata, place, read


def batch_of(files: TileFiles, count: int) -> dict[TileId, StagedTile]:
    contents = {TileId(9, y % 3, y, TileSource.IMPORTED): jpeg(b"%d" % y) for y in range(count)}
    return {tile_id: files.stage(p, metadata(p, tile_id)) for tile_id, p in contents.items()}


class WrittenAhead(OfTileFiles):
    """Batches that are prewritten before their duplicates are known."""

    @pytest.mark.parametrize("count", [3, 40])
    def test_a_batch_that_is_written_ahead_is_there_once_it_is_placed(
        self, files: TileFiles, count: int
    ) -> None:
        batch = batch_of(files, count)
        with files.prewriting(list(batch.values())):
            assert not any(files.exists(tile_id) for tile_id in batch)
            assert files.place_many(list(batch.values())) == [None] * count
        assert all(read(files, tile_id) == jpeg(b"%d" % tile_id.y) for tile_id in batch)
        assert all(files.sidecar_sha256(tile_id) for tile_id in batch)
        assert {found.kind for found in files.inventory()} == {FoundKind.TILE, FoundKind.SIDECAR}

    def test_what_is_written_ahead_and_not_placed_is_gone(self, files: TileFiles) -> None:
        place(files, jpeg(b"first"), TileId(9, 0, 0, TileSource.IMPORTED))
        batch = batch_of(files, 40)
        with files.prewriting(list(batch.values())):
            assert files.place_many(list(batch.values())[:30:2]) == [None] * 15
        placed = {tile_id for tile_id in batch if tile_id.y in range(0, 30, 2)}
        assert {found.tile_id for found in files.inventory()} == placed
        assert {found.kind for found in files.inventory()} == {FoundKind.TILE, FoundKind.SIDECAR}

    def test_what_nobody_wrote_ahead_is_placed_with_what_was(self, files: TileFiles) -> None:
        batch = list(batch_of(files, 60).values())
        with files.prewriting(batch[20:]):
            assert files.place_many(batch) == [None] * 60
        with files.prewriting(batch):
            pass

    def test_a_batch_that_was_written_ahead_in_vain_is_written_again(self, files: TileFiles) -> None:
        batch = batch_of(files, 40)
        with files.prewriting(list(batch.values())):
            pass
        assert list(files.inventory()) == []
        with files.prewriting(list(batch.values())):
            assert files.place_many(list(batch.values())) == [None] * 40
        assert all(files.exists(tile_id) for tile_id in batch)
