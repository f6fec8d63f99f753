"""Batches: bad tiles, failing disks and several batches in flight."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest

from ....domain.errors import (
    ContentHashMismatchError,
    DuplicateTileError,
    FreshnessRejectionError,
    StoreUnavailableError,
    TileCacheError,
)
from ....domain.ports.tile_files import StagedTile, TileFiles
from ....domain.store.write_batches import overlapped
from ....domain.values.inventory import FoundKind
from ....domain.values.tiles import TileId, TileMetadata, TileSource
from .subject import IN_CONFLICT, IN_REAR, ONBOARD, OfTileStore, TileStoreSubject, described, jpeg


class _BrokenFiles:
    """Real files whose disk fails when tiles of one column are placed."""

    def __init__(self, inner: TileFiles, broken_x: int) -> None:
        self._inner = inner
        self._broken_x = broken_x
        self._broken: list[StagedTile] = []

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._inner, name)
        return method

    def stage(self, pixels: bytes, metadata: TileMetadata) -> StagedTile:
        staged = self._inner.stage(pixels, metadata)
        if metadata.tile_id.x == self._broken_x:
            self._broken.append(staged)
        return staged

    def stage_many(self, tiles: list[tuple[bytes, TileMetadata]]) -> list[StagedTile | TileCacheError]:
        return [self.stage(pixels, metadata) for pixels, metadata in tiles]

    def place(self, staged: StagedTile) -> None:
        if staged in self._broken:
            raise StoreUnavailableError("the disk does not answer")
        self._inner.place(staged)

    def place_many(self, staged: list[StagedTile]) -> list[StoreUnavailableError | None]:
        placed = iter(self._inner.place_many([tile for tile in staged if tile not in self._broken]))
        return [
            StoreUnavailableError("the disk does not answer") if tile in self._broken else next(placed)
            for tile in staged
        ]


class Batches(OfTileStore):
    """Batches: bad tiles, failing disks and several batches in flight."""

    def test_a_bad_tile_never_sinks_its_batch(self, subject: TileStoreSubject) -> None:
        store = subject.open()
        present, good, twice, onboard = jpeg(0), jpeg(1), jpeg(2), jpeg(3)
        ids = [TileId(10, x, 9, TileSource.IMPORTED) for x in range(3)]
        store.write_tile(present, described(present, ids[0]))
        outcomes = store.write_tiles(
            [
                (present, described(present, ids[0])),
                (good, described(good, ids[1])),
                (good, described(present, ids[2])),
                (twice, described(twice, ids[2])),
                (twice, described(twice, ids[2])),
                (good, described(good, IN_CONFLICT, timedelta(days=200))),
                (onboard, described(onboard, ONBOARD)),
            ]
        )
        assert [type(outcome.error) for outcome in outcomes] == [
            DuplicateTileError,
            type(None),
            ContentHashMismatchError,
            type(None),
            DuplicateTileError,
            FreshnessRejectionError,
            type(None),
        ]
        assert [o.tile_id for o in outcomes if o.stored] == [ids[1], ids[2], ONBOARD]
        assert set(subject.committed()) == {ids[0], ids[1], ids[2], ONBOARD}
        assert set(subject.on_disk()) == {ids[0], ids[1], ids[2], ONBOARD}
        with store.read_tile_pixels(ids[2]) as handle:
            assert bytes(memoryview(handle)) == twice

    def test_batches_in_flight_together_store_what_each_would_alone(self, subject: TileStoreSubject) -> None:
        store = subject.open()
        tiles = []
        for x in range(30):
            pixels = jpeg(seed=x)
            tiles.append((pixels, described(pixels, TileId(10, x, 700, TileSource.IMPORTED))))
        tiles[11] = (jpeg(seed=99), tiles[11][1])
        batches = [tiles[start : start + 4] for start in range(0, 30, 4)]
        outcomes = list(overlapped(store.write_tiles, batches))
        assert [len(batch) for batch in outcomes] == [4] * 7 + [2]
        flat = [outcome for batch in outcomes for outcome in batch]
        assert [outcome.tile_id.x for outcome in flat] == list(range(30))
        assert [outcome.tile_id.x for outcome in flat if outcome.error is not None] == [11]
        assert set(subject.committed()) == {outcome.tile_id for outcome in flat if outcome.stored}
        assert set(subject.on_disk()) == set(subject.committed())

    def test_a_batch_with_tiles_that_only_the_rows_know_leaves_those_as_they_are(
        self, subject: TileStoreSubject
    ) -> None:
        other = subject.open()
        tiles = []
        for x in range(30):
            pixels = jpeg(seed=x)
            tiles.append((pixels, described(pixels, TileId(10, x, 700, TileSource.IMPORTED))))
        store = subject.open()
        first = jpeg(seed=77)
        for _, metadata in tiles[::10]:
            other.write_tile(first, described(first, metadata.tile_id))
        outcomes = store.write_tiles(tiles)
        assert [isinstance(o.error, DuplicateTileError) for o in outcomes] == [x % 10 == 0 for x in range(30)]
        assert (
            set(subject.committed()) == set(subject.on_disk()) == {metadata.tile_id for _, metadata in tiles}
        )
        assert {found.kind for found in subject.files.inventory()} == {FoundKind.TILE, FoundKind.SIDECAR}
        for (pixels, metadata), outcome in zip(tiles, outcomes, strict=True):
            with subject.files.open(metadata.tile_id) as handle:
                assert bytes(memoryview(handle)) == (pixels if outcome.stored else first)

    def test_of_batches_in_flight_that_name_one_tile_exactly_one_stores_it(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open()
        pixels = [jpeg(seed=seed) for seed in range(12)]
        batches = [
            [(p, described(p, IN_REAR)), (p, described(p, TileId(10, x, 0, TileSource.IMPORTED)))]
            for x, p in enumerate(pixels)
        ]
        outcomes = [outcome for batch in overlapped(store.write_tiles, batches) for outcome in batch]
        stored = [outcome.stored for outcome in outcomes if outcome.tile_id == IN_REAR and outcome.stored]
        assert len(stored) == 1
        refused = [outcome.error for outcome in outcomes if outcome.stored is None]
        assert {type(error) for error in refused} == {DuplicateTileError}
        assert len(refused) == 11
        with store.read_tile_pixels(IN_REAR) as handle:
            assert hashlib.sha256(memoryview(handle)).hexdigest() == stored[0].content_sha256

    def test_a_disk_that_fails_one_tile_leaves_no_row_of_it(self, subject: TileStoreSubject) -> None:
        store = subject.open(_BrokenFiles(subject.files, broken_x=1))  # type: ignore[arg-type] # delegates the rest
        ids = [TileId(10, x, 9, TileSource.IMPORTED) for x in range(3)]
        pixels = jpeg(1)
        with pytest.raises(StoreUnavailableError):
            store.write_tile(pixels, described(pixels, ids[1]))
        assert subject.committed() == {}
        outcomes = store.write_tiles([(pixels, described(pixels, tile_id)) for tile_id in ids])
        assert [outcome.stored is not None for outcome in outcomes] == [True, False, True]
        assert set(subject.committed()) == set(subject.on_disk()) == {ids[0], ids[2]}
