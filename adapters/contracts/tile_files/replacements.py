"""Newer imagery beside a tile, which takes the tile's place."""

from __future__ import annotations

import hashlib

from ....domain.ports.tile_files import TileFiles
from ....domain.values.inventory import FoundKind
from .subject import NEIGHBOUR, TILE, OfTileFiles, jpeg, metadata, place, read

OLD, NEW = jpeg(b"old"), jpeg(b"new")
DIGEST = hashlib.sha256(NEW).hexdigest()
PAIR = {FoundKind.TILE, FoundKind.SIDECAR}


def kinds(files: TileFiles) -> set[FoundKind]:
    return {found.kind for found in files.inventory()}


class Replacements(OfTileFiles):
    """Newer imagery beside a tile, which takes the tile's place."""

    def test_what_lies_beside_a_tile_changes_nothing_until_it_takes_the_place(self, files: TileFiles) -> None:
        place(files, OLD)
        with files.open(TILE) as handle:
            files.place_beside(files.stage(NEW, metadata(NEW)))
            assert read(files) == OLD
            assert files.sidecar_sha256(TILE) == hashlib.sha256(OLD).hexdigest()
            (beside,) = (found for found in files.inventory() if found.kind is FoundKind.REPLACEMENT)
            assert (beside.tile_id, beside.content_sha256) == (TILE, DIGEST)
            assert kinds(files) == PAIR | {FoundKind.REPLACEMENT}
            assert files.take_place(TILE, DIGEST)
            assert read(files) == NEW
            assert bytes(memoryview(handle)) == OLD
        assert files.content_sha256(TILE) == files.sidecar_sha256(TILE) == DIGEST
        assert kinds(files) == PAIR

    def test_only_the_digest_that_lies_there_takes_the_place_and_only_once(self, files: TileFiles) -> None:
        place(files, OLD)
        assert not files.take_place(TILE, DIGEST)
        assert not files.take_place(NEIGHBOUR, DIGEST)
        files.place_beside(files.stage(NEW, metadata(NEW)))
        assert not files.take_place(TILE, hashlib.sha256(OLD).hexdigest())
        assert not files.take_place(NEIGHBOUR, DIGEST)
        assert read(files) == OLD
        assert files.take_place(TILE, DIGEST)
        assert not files.take_place(TILE, DIGEST)
        assert read(files) == NEW

    def test_withdrawn_it_is_gone_and_can_be_placed_again(self, files: TileFiles) -> None:
        place(files, OLD)
        staged = files.stage(NEW, metadata(NEW))
        files.place_beside(staged)
        files.withdraw(staged)
        assert kinds(files) == PAIR
        assert read(files) == OLD
        files.place_beside(staged)
        assert files.take_place(TILE, DIGEST)
        files.withdraw(staged)
        assert read(files) == NEW

    def test_what_a_crash_left_there_is_overwritten_or_discarded(self, files: TileFiles) -> None:
        for _ in range(2):
            files.place_beside(files.stage(NEW, metadata(NEW)))
        (beside,) = files.inventory()
        assert files.discard(beside)
        assert not files.discard(beside)
        assert not files.take_place(TILE, DIGEST)
        assert list(files.inventory()) == []

    def test_it_takes_the_place_of_a_file_that_is_gone(self, files: TileFiles) -> None:
        files.place_beside(files.stage(NEW, metadata(NEW)))
        assert not files.exists(TILE)
        assert files.take_place(TILE, DIGEST)
        assert read(files) == NEW
