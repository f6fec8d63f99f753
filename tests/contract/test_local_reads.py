"""One contract for all that can be read: a store over files, the sealed base, and both layers together."""

from __future__ import annotations

from pathlib import Path

import pytest
from sealed_bases import FLIGHTS, Tile, dataset, imported, of_dataset, opened, pixels_of, square, tile
from small_store import SmallStore

from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.recall_source import MemoryRecallSource
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.adapters.sealed_base.store import SealedTileStore
from aerotile.domain.ports.tile_store import RecordsLookups, SupportsLocalWrites, TileStore
from aerotile.domain.store.catalogue_sync import CatalogueSync
from aerotile.domain.store.layered_store import LayeredTiles, LayeredTileStore
from aerotile.domain.store.read_only_store import ReadOnlyTileStore
from aerotile.domain.store.recall_guard import RecallGuard
from aerotile.domain.store.tile_store import FileBackedTileStore
from aerotile.domain.values.recall_list import RecallList
from aerotile.domain.values.tiles import TileId, TileSource, VotingStatus
from aerotile.ext import CompiledMappingCache, CompiledTileCatalogue
from aerotile.testing import LocalReadsContract, LocalReadsSubject

DATASETS = (dataset("city"), dataset("ortho-2024"), dataset("unused"))
SEALED = [
    *square(7),
    of_dataset(imported(12, 1990, 1500), "city"),
    *(of_dataset(imported(12, 1990, 1501 + y), "ortho-2024") for y in range(3)),
    imported(0, 0, 0),
    imported(21, 0, (1 << 21) - 1),
    tile(TileId(13, 1, 2, TileSource.ONBOARD, FLIGHTS[1]), vote=VotingStatus.TRUSTED),
    tile(TileId(13, 1, 3, TileSource.ONBOARD, FLIGHTS[0]), vote=VotingStatus.TRUSTED),
]
MADE = [
    tile(TileId(12, 2003, 1503, TileSource.SATELLITE_PROVIDER), pixels_of(77)),
    tile(TileId(13, 1, 4, TileSource.ONBOARD, FLIGHTS[0]), pixels_of(78), vote=VotingStatus.PENDING),
    tile(TileId(13, 1, 4, TileSource.IMPORTED), pixels_of(79)),
    of_dataset(tile(TileId(13, 1, 5, TileSource.IMPORTED), pixels_of(80)), "made-later"),
]


def contents(tiles: list[Tile]) -> dict[TileId, bytes]:
    return {row.tile_id: pixels for row, pixels in tiles}


class Recalls:
    """Recall lists that the stores of a test heed."""

    def __init__(self) -> None:
        self._source = MemoryRecallSource()
        self.guard = RecallGuard(self._source, lambda event: None)

    def put(self, recalls: RecallList) -> None:
        self._source.put(recalls)
        self.guard.look()


@pytest.fixture
def recalls() -> Recalls:
    return Recalls()


def datasets(tiles: list[Tile]) -> dict[TileId, str]:
    return {row.tile_id: row.dataset for row, _ in tiles if row.dataset is not None}


def overlay(folder: Path, tiles: list[Tile], recalls: Recalls) -> FileBackedTileStore:
    store = SmallStore(folder, recalls=recalls.guard).store
    for row, pixels in tiles:
        store.write_tile(pixels, row)
    return store


def read_only(folder: Path, tiles: list[Tile], recalls: Recalls) -> ReadOnlyTileStore:
    small = SmallStore(folder)
    for row, pixels in tiles:
        small.store.write_tile(pixels, row)
    cache = CompiledMappingCache(max_count=0, max_bytes=0)
    sync = CatalogueSync(small.rows, small.files, CompiledTileCatalogue(), cache)
    judge = small.store.judge
    return ReadOnlyTileStore(small.rows, small.files, sync=sync, judge=judge, recalls=recalls.guard)


class TestStoreOverFiles(LocalReadsContract):
    @pytest.fixture
    def subject(self, tmp_path: Path, recalls: Recalls) -> LocalReadsSubject:
        store = overlay(tmp_path / "tiles", SEALED, recalls)
        return LocalReadsSubject(store, contents(SEALED), datasets(SEALED), recalls.put)


class TestSealedBase(LocalReadsContract):
    @pytest.fixture
    def subject(self, tmp_path: Path, recalls: Recalls) -> LocalReadsSubject:
        judge = overlay(tmp_path / "tiles", [], recalls).judge
        base = opened(tmp_path / "base", SEALED, SealPlan(take_onboard=True), DATASETS)
        store = SealedTileStore(base, judge=judge, recalls=recalls.guard)
        return LocalReadsSubject(store, contents(SEALED), datasets(SEALED), recalls.put)

    def test_it_writes_nothing(self, subject: LocalReadsSubject) -> None:
        assert not isinstance(subject.store, SupportsLocalWrites)
        assert not isinstance(subject.store, TileStore)


class TestBaseInFrontOfAStore(LocalReadsContract):
    @pytest.fixture(params=[False, True])
    def subject(self, tmp_path: Path, request: pytest.FixtureRequest, recalls: Recalls) -> LocalReadsSubject:
        store = overlay(tmp_path / "tiles", MADE, recalls)
        base = SealedTileStore(
            opened(tmp_path / "base", SEALED, SealPlan(take_onboard=True), DATASETS),
            judge=store.judge,
            otherwise=store.read_tile_pixels,
            recalls=recalls.guard,
        )
        layered = LayeredTileStore(
            base,
            store,
            recorder=MemoryFlightRecorder(),
            read_pixels=base.read_tile_pixels if request.param else None,
        )
        return LocalReadsSubject(layered, contents(SEALED + MADE), datasets(SEALED + MADE), recalls.put)

    def test_it_is_a_store(self, subject: LocalReadsSubject) -> None:
        assert isinstance(subject.store, SupportsLocalWrites)
        assert isinstance(subject.store, TileStore)
        assert isinstance(subject.store, RecordsLookups)


class TestReaderThatChangesNothing(LocalReadsContract):
    @pytest.fixture
    def subject(self, tmp_path: Path, recalls: Recalls) -> LocalReadsSubject:
        return LocalReadsSubject(
            read_only(tmp_path / "tiles", SEALED, recalls), contents(SEALED), datasets(SEALED), recalls.put
        )

    def test_it_writes_nothing(self, subject: LocalReadsSubject) -> None:
        assert not isinstance(subject.store, SupportsLocalWrites)
        assert not isinstance(subject.store, TileStore)


class TestBaseInFrontOfAReaderThatChangesNothing(LocalReadsContract):
    @pytest.fixture
    def subject(self, tmp_path: Path, recalls: Recalls) -> LocalReadsSubject:
        beyond = read_only(tmp_path / "tiles", MADE, recalls)
        base = opened(tmp_path / "base", SEALED, SealPlan(take_onboard=True), DATASETS)
        judge = overlay(tmp_path / "judge", [], recalls).judge
        layered = LayeredTiles(SealedTileStore(base, judge=judge, recalls=recalls.guard), beyond)
        return LocalReadsSubject(layered, contents(SEALED + MADE), datasets(SEALED + MADE), recalls.put)
