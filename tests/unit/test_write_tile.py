"""A write and a batch over a store in memory: their clock reads, and which bytes are written ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from uuid import UUID

import attrs
import pytest
from budgeted_cache import NOW, imported, metadata_of, pixels_of

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.store_parts import small_store_parts
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryOpenRow, MemoryOpenRows, MemoryTileRows
from aerotile.domain.errors import (
    DuplicateTileError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
)
from aerotile.domain.ports.tile_files import StagedTile
from aerotile.domain.ports.tile_rows import AwaitedInsert
from aerotile.domain.store.tile_store import FileBackedTileStore
from aerotile.domain.values.catalogue_entries import CatalogueColumns
from aerotile.domain.values.tile_changes import ChangeKind, TileChange
from aerotile.domain.values.tile_key import MAX_FLIGHTS, VariantTable
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource

FLIGHT = UUID(int=1 << 100)


class CountingClock(ManualClock):
    """A clock that counts its readings, and goes on by a second with each."""

    reads = 0

    def now(self) -> datetime:
        self.reads += 1
        self.advance(timedelta(seconds=1))
        return super().now()


class WatchedFiles(MemoryTileFiles):
    """Files that note how many tiles are written ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.prewritten: list[int] = []

    def prewrite(self, staged: StagedTile, awaited: AwaitedInsert | None = None) -> None:
        self.prewritten.append(1)

    def prewriting(self, staged: Sequence[StagedTile]) -> AbstractContextManager[None]:
        self.prewritten.append(len(staged))
        return super().prewriting(staged)


@attrs.frozen
class Site:
    store: FileBackedTileStore
    files: WatchedFiles
    clock: CountingClock


@attrs.frozen
class FailingRow(MemoryOpenRow):
    """A row whose COMMIT ends with `error`, where there is one."""

    error: Exception | None = None

    def commit(self) -> TileMetadataPersistent:
        if self.error is not None:
            raise self.error
        return super().commit()


class CommittingRows(MemoryTileRows):
    """Rows whose COMMIT is sent by `prewrite`."""

    error: Exception | None = None

    @contextmanager
    def insert(self, metadata: TileMetadata, created_at: datetime) -> Iterator[MemoryOpenRow]:
        with super().insert(metadata, created_at) as row:
            yield FailingRow(row.rows, row.tile_id, is_committing=True, error=self.error)


class PlacedFiles(WatchedFiles):
    """Files of a row that is committing: `place` fails, for the file is in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.withdrawn = 0

    def place(self, staged: StagedTile) -> None:
        raise StoreUnavailableError("placed a second time")

    def withdraw(self, staged: StagedTile) -> None:
        self.withdrawn += 1


@pytest.fixture
def site() -> Site:
    return site_of(MemoryTileRows(), WatchedFiles())


def site_of(rows: MemoryTileRows, files: WatchedFiles) -> Site:
    clock, recorder = CountingClock(NOW), MemoryFlightRecorder()
    store = FileBackedTileStore(small_store_parts(rows, files, clock=clock, recorder=recorder))
    return Site(store, files, clock)


def test_a_write_reads_the_clock_once(site: Site) -> None:
    pixels, site.clock.reads = pixels_of(100), 0
    stored = site.store.write_tile(pixels, metadata_of(imported(0), pixels))
    assert site.clock.reads == 1
    assert stored.created_at == ManualClock.now(site.clock)


def test_a_batch_reads_the_clock_once(site: Site) -> None:
    pixels, site.clock.reads = pixels_of(100), 0
    outcomes = site.store.write_tiles([(pixels, metadata_of(imported(x), pixels)) for x in range(64)])
    assert site.clock.reads == 1
    created = {outcome.stored.created_at for outcome in outcomes if outcome.stored}
    assert created == {ManualClock.now(site.clock)}


def test_only_tiles_that_the_catalogue_does_not_know_are_written_ahead(site: Site) -> None:
    pixels = pixels_of(100)
    batch = [(pixels, metadata_of(imported(x), pixels)) for x in range(4)]
    site.store.write_tile(*batch[0])
    with pytest.raises(DuplicateTileError):
        site.store.write_tile(*batch[0])
    site.store.write_tiles(batch)
    assert site.files.prewritten == [1, 3]


def test_the_file_of_a_row_that_is_committing_is_left_as_it_was_placed() -> None:
    site, pixels = site_of(CommittingRows(), PlacedFiles()), pixels_of(100)
    stored = site.store.write_tile(pixels, metadata_of(imported(0), pixels))
    assert site.files.prewritten == [1]
    assert stored.tile_id in site.store.catalogue


@pytest.mark.parametrize(
    ("error", "withdrawn"),
    [(RuntimeError("a signal's handler"), 0), (StoreUnavailableError("not committed"), 1)],
    ids=["anything", "not committed"],
)
def test_a_row_that_is_committing_loses_its_file_only_where_it_is_certainly_not_committed(
    error: Exception, withdrawn: int
) -> None:
    rows, files, pixels = CommittingRows(), PlacedFiles(), pixels_of(100)
    rows.error = error
    with pytest.raises(type(error), match=str(error)):
        site_of(rows, files).store.write_tile(pixels, metadata_of(imported(0), pixels))
    assert files.withdrawn == withdrawn


def test_a_tile_of_one_flight_too_many_is_refused_before_its_row_is_there(site: Site) -> None:
    table = VariantTable(tuple(UUID(int=number) for number in range(1, MAX_FLIGHTS + 1)))
    site.store.catalogue.load(CatalogueColumns.of([], table), table)
    pixels = pixels_of(100)
    known, one_more = (TileId(8, 1, 1, TileSource.ONBOARD, flight) for flight in (table.flights[-1], FLIGHT))
    tiles = [(pixels, metadata_of(tile_id, pixels)) for tile_id in (one_more, known, imported(1))]
    with pytest.raises(TileMetadataError, match="tells apart"):
        site.store.write_tile(*tiles[0])
    outcomes = site.store.write_tiles(tiles)
    assert [type(outcome.error) for outcome in outcomes] == [TileMetadataError, type(None), type(None)]
    assert {found.tile_id for found in site.files.inventory()} == {known, imported(1)}


def test_of_two_new_flights_in_a_batch_the_one_past_the_most_is_refused(site: Site) -> None:
    table = VariantTable(tuple(UUID(int=number) for number in range(1 << 64, (1 << 64) + MAX_FLIGHTS - 1)))
    site.store.catalogue.load(CatalogueColumns.of([], table), table)
    pixels = pixels_of(100)
    tile_ids = [
        TileId(8, x, 1, TileSource.ONBOARD, UUID(int=flight)) for x, flight in enumerate((1, 1, 2, 1))
    ]
    outcomes = site.store.write_tiles([(pixels, metadata_of(tile_id, pixels)) for tile_id in tile_ids])
    refused = [str(outcome.error) for outcome in outcomes if outcome.error]
    assert refused == [
        f"tile {tile_ids[2]} is of one flight more than the {MAX_FLIGHTS} that a store tells apart"
    ]
    stored = {tile_ids[position] for position in (0, 1, 3)}
    assert {found.tile_id for found in site.files.inventory()} == stored
    assert all(tile_id in site.store.catalogue for tile_id in stored)


def test_of_two_new_flights_at_one_instant_the_second_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = VariantTable(tuple(UUID(int=number) for number in range(1 << 64, (1 << 64) + MAX_FLIGHTS - 1)))
    site.store.catalogue.load(CatalogueColumns.of([], table), table)
    pixels = pixels_of(100)
    first, second, third = (TileId(8, x, 1, TileSource.ONBOARD, UUID(int=1 + x)) for x in range(3))
    refusals: list[TileCacheError | None] = []
    place = MemoryTileFiles.place

    def place_beside_another_write(staged: StagedTile) -> None:
        monkeypatch.undo()
        with pytest.raises(TileMetadataError, match="tells apart") as refusal:
            site.store.write_tile(pixels, metadata_of(second, pixels))
        (outcome,) = site.store.write_tiles([(pixels, metadata_of(second, pixels))])
        refusals.extend((refusal.value, outcome.error))
        place(site.files, staged)

    monkeypatch.setattr(site.files, "place", place_beside_another_write)
    site.store.write_tile(pixels, metadata_of(first, pixels))
    assert [str(refusal) for refusal in refusals] == [
        f"tile {second} is of one flight more than the {MAX_FLIGHTS} that a store tells apart"
    ] * 2
    assert first in site.store.catalogue
    assert {found.tile_id for found in site.files.inventory()} == {first}
    with pytest.raises(TileMetadataError, match="tells apart"):
        site.store.write_tile(pixels, metadata_of(third, pixels))


def test_a_write_that_failed_takes_no_place_of_a_flight(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    table = VariantTable(tuple(UUID(int=number) for number in range(1 << 64, (1 << 64) + MAX_FLIGHTS - 1)))
    site.store.catalogue.load(CatalogueColumns.of([], table), table)
    pixels = pixels_of(100)
    first, second = (TileId(8, x, 1, TileSource.ONBOARD, UUID(int=1 + x)) for x in range(2))

    def fail(staged: StagedTile) -> None:
        raise StoreUnavailableError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(site.files, "place", fail)
        with pytest.raises(StoreUnavailableError):
            site.store.write_tile(pixels, metadata_of(first, pixels))
    site.store.write_tile(pixels, metadata_of(second, pixels))
    assert second in site.store.catalogue


def test_another_process_s_tile_of_one_flight_too_many_is_left_out_and_logged(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = pixels_of(100)
    of_flight = TileId(8, 1, 1, TileSource.ONBOARD, FLIGHT)
    for tile_id in (of_flight, imported(1)):
        site.store.write_tile(pixels, metadata_of(tile_id, pixels))
    table = VariantTable(tuple(UUID(int=number) for number in range(1 << 64, (1 << 64) + MAX_FLIGHTS)))
    site.store.catalogue.load(CatalogueColumns.of([], table), table)
    site.store.apply_changes(TileChange(ChangeKind.ADDED, tile_id) for tile_id in (of_flight, imported(1)))
    assert of_flight not in site.store.catalogue
    assert imported(1) in site.store.catalogue
    assert [record.message.partition(":")[0] for record in caplog.records] == ["left out of the catalogue"]


def test_a_batch_whose_rows_can_not_be_taken_back_leaves_no_file(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_the_first(staged: Sequence[StagedTile]) -> list[StoreUnavailableError | None]:
        placed = MemoryTileFiles.place_many(site.files, staged[1:])
        return [StoreUnavailableError("no space left on device"), *placed]

    def lose_the_database(rows: MemoryOpenRows, tile_ids: Sequence[object]) -> None:
        if tile_ids:
            raise StoreUnavailableError("the database is gone")

    monkeypatch.setattr(site.files, "place_many", fail_the_first)
    monkeypatch.setattr(MemoryOpenRows, "discard", lose_the_database)
    pixels = pixels_of(100)
    with pytest.raises(StoreUnavailableError, match="the database is gone"):
        site.store.write_tiles([(pixels, metadata_of(imported(x), pixels)) for x in range(3)])
    assert list(site.files.inventory()) == []
    assert len(site.store) == 0
