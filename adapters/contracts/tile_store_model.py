"""The contract of a tile store against a dictionary, with killed and reopened stores among the steps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import ClassVar
from uuid import UUID

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ...domain.errors import (
    ContentHashMismatchError,
    DuplicateTileError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from ...domain.ports.tile_files import StagedTile, TileFiles
from ...domain.ports.tile_metadata import TileMetadataStore
from ...domain.ports.tile_rows import AwaitedInsert, TileRows
from ...domain.store.tile_store import FileBackedTileStore
from ...domain.values.inventory import FoundKind
from ...domain.values.tiles import TileId, TileMetadata, TileSource
from ..memory.clock import ManualClock
from ..memory.example_jpeg import example_jpeg, example_metadata
from ..memory.flight_recorder import MemoryFlightRecorder
from ..memory.store_parts import small_store_parts

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
TILES = [TileId(3, x, y, TileSource.IMPORTED) for x in range(2) for y in range(2)] + [
    TileId(3, 0, 0, TileSource.ONBOARD, UUID(int=flight)) for flight in (7, 8)
]
tiles = st.sampled_from(TILES)
seeds = st.integers(0, 3)


class Killed(BaseException):
    """The process dies here. No code catches this, so no code cleans up."""


class DyingFiles:
    """Files under which the process dies between files and COMMIT, a replacement behind its COMMIT."""

    def __init__(self, inner: TileFiles) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._inner, name)
        return method

    def prewrite(self, staged: StagedTile, awaited: AwaitedInsert | None = None) -> None:
        """Leave the row to `place`: a compiled stretch that sends the COMMIT too has no place to die in."""
        self._inner.prewrite(staged)

    def place(self, staged: StagedTile) -> None:
        self._inner.place(staged)
        raise Killed

    def take_place(self, tile_id: TileId, content_sha256: str) -> bool:
        raise Killed

    def place_many(self, staged: Sequence[StagedTile]) -> list[StoreUnavailableError | None]:
        for tile in staged:
            self.place(tile)
        return []


@attrs.frozen
class TileStoreHalves:
    """Rows and files: the state that survives a killed process."""

    rows: TileRows
    metadata_store: TileMetadataStore
    files: TileFiles

    def open(self, files: TileFiles | None = None) -> FileBackedTileStore:
        clock, recorder = ManualClock(NOW), MemoryFlightRecorder()
        return FileBackedTileStore(
            small_store_parts(self.rows, files or self.files, clock=clock, recorder=recorder)
        )

    def dying(self) -> FileBackedTileStore:
        """A store whose process dies, see `DyingFiles`."""
        return self.open(DyingFiles(self.files))  # type: ignore[arg-type] # delegates the rest


def jpeg(seed: int) -> bytes:
    return example_jpeg(bytes([seed]) * (seed + 5))


def described(tile_id: TileId, pixels: bytes) -> TileMetadata:
    return example_metadata(tile_id, pixels, captured_at=NOW - timedelta(days=2))


class StoreMachine(RuleBasedStateMachine):
    """A store, and a dictionary of the tiles that the store must hold."""

    def __init__(self, halves: TileStoreHalves) -> None:
        super().__init__()
        self.halves = halves
        self.store = halves.open()
        for tile_id in list(self._committed()):
            self.store.delete_tile(tile_id)
        self.model: dict[TileId, bytes] = {}
        self.age = timedelta(days=1)
        """Of the imagery; that of each replacement is newer than all before."""

    def _committed(self) -> Iterator[TileId]:
        return (row.tile_id for row in self.halves.rows.committed())

    @rule(tile_id=tiles, seed=seeds)
    def write(self, tile_id: TileId, seed: int) -> None:
        pixels = jpeg(seed)
        if tile_id in self.model:
            with pytest.raises(DuplicateTileError):
                self.store.write_tile(pixels, described(tile_id, pixels))
        else:
            self.store.write_tile(pixels, described(tile_id, pixels))
            self.model[tile_id] = pixels

    @rule(tile_id=tiles, seed=seeds)
    def write_with_a_wrong_hash(self, tile_id: TileId, seed: int) -> None:
        with pytest.raises(ContentHashMismatchError):
            self.store.write_tile(jpeg(seed), described(tile_id, jpeg(seed + 1)))

    @rule(batch=st.lists(st.tuples(tiles, seeds), max_size=5))
    def write_batch(self, batch: list[tuple[TileId, int]]) -> None:
        outcomes = self.store.write_tiles([(jpeg(seed), described(t, jpeg(seed))) for t, seed in batch])
        for (tile_id, seed), outcome in zip(batch, outcomes, strict=True):
            assert (outcome.stored is not None) == (tile_id not in self.model)
            self.model.setdefault(tile_id, jpeg(seed))

    @rule(tile_id=tiles, seed=seeds, dies=st.booleans())
    def replace(self, tile_id: TileId, seed: int, dies: bool) -> None:
        pixels, self.age = jpeg(seed), self.age - timedelta(seconds=1)
        metadata = attrs.evolve(described(tile_id, pixels), captured_at=NOW - self.age)
        store = self.halves.dying() if dies else self.store
        if tile_id not in self.model:
            refusal: type[TileCacheError] | None = TileNotFoundError
        elif tile_id.source is TileSource.ONBOARD:
            refusal = TileMetadataError
        else:
            refusal = DuplicateTileError if self.model[tile_id] == pixels else None
        if refusal is not None:
            with pytest.raises(refusal):
                store.replace_tile(pixels, metadata)
            return
        self.model[tile_id] = pixels
        if dies:
            with pytest.raises(Killed):
                store.replace_tile(pixels, metadata)
            self.store = self.halves.open()
            assert self.store.opened.replacements_settled == 1
        else:
            store.replace_tile(pixels, metadata)

    @rule(tile_id=tiles)
    def delete(self, tile_id: TileId) -> None:
        if tile_id in self.model:
            assert self.store.delete_tile(tile_id) == len(self.model.pop(tile_id))
        else:
            with pytest.raises(TileNotFoundError):
                self.store.delete_tile(tile_id)

    @rule()
    def reopen(self) -> None:
        self.store = self.halves.open()
        assert self.store.opened.tiles == len(self.model)
        assert self.store.opened.orphans_removed == 0

    @rule(tile_id=tiles, seed=seeds, in_batch=st.booleans())
    def die_between_the_files_and_the_commit(self, tile_id: TileId, seed: int, in_batch: bool) -> None:
        dying = self.halves.dying()
        pixels = jpeg(seed)
        metadata = described(tile_id, pixels)
        if tile_id in self.model:
            with pytest.raises(DuplicateTileError):
                dying.write_tile(pixels, metadata)
        elif in_batch:
            with pytest.raises(Killed):
                dying.write_tiles([(pixels, metadata)])
        else:
            with pytest.raises(Killed):
                dying.write_tile(pixels, metadata)
        assert self.store.tile_exists(tile_id) == (tile_id in self.model)
        self.store = self.halves.open()
        assert self.store.opened.orphans_removed == (tile_id not in self.model)

    @invariant()
    def every_tile_of_the_model_and_no_other_is_there(self) -> None:
        for tile_id in TILES:
            if tile_id in self.model:
                with self.store.read_tile_pixels(tile_id) as handle:
                    assert bytes(memoryview(handle)) == self.model[tile_id]
            else:
                assert not self.store.tile_exists(tile_id)

    @invariant()
    def rows_files_and_total_agree(self) -> None:
        rows = {row.tile_id: row for row in self.halves.rows.committed()}
        assert {t: r.content_sha256 for t, r in rows.items()} == {
            t: hashlib.sha256(p).hexdigest() for t, p in self.model.items()
        }
        assert self.halves.metadata_store.total_disk_bytes() == sum(map(len, self.model.values()))
        on_disk = [(file.tile_id, file.kind) for file in self.halves.files.inventory()]
        expected = [(t, kind) for t in self.model for kind in (FoundKind.TILE, FoundKind.SIDECAR)]
        assert sorted(on_disk, key=str) == sorted(expected, key=str)


class TileStoreModelContract:
    """Holds the store over one pair of rows and files, whose tiles it deletes before every example."""

    examples: ClassVar[settings] = settings(
        max_examples=settings().max_examples // 4,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),  # a database is slower than hypothesis expects
    )

    @pytest.fixture
    def halves(self) -> TileStoreHalves:
        """Rows and files under test. Override it."""
        raise NotImplementedError

    def test_the_store_behaves_as_a_dictionary(self, halves: TileStoreHalves) -> None:
        def machine() -> StoreMachine:
            return StoreMachine(halves)

        run_state_machine_as_test(machine, settings=self.examples)  # type: ignore[arg-type] # a factory
