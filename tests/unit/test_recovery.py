"""Opening a store while others write: files and rows are looked at side by side, not at one instant."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from uuid import UUID

import attrs
import pytest

from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.errors import StoreUnavailableError, TileNotFoundError
from aerotile.domain.store.recovery import ReconcileReport, reconcile
from aerotile.domain.values.catalogue_entries import CatalogueColumns
from aerotile.domain.values.inventory import FoundFile, FoundKind, TileInventory
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.tile_key import VariantTable
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
PIXELS = example_jpeg(b"ground")
FLIGHT = UUID(int=7)


def meet(barrier: threading.Barrier) -> None:
    """Go on when everybody is here. Raises when that takes too long."""
    barrier.wait(30)


def nothing() -> None:
    """What happens meanwhile when nothing is said."""


class ObservedRows(MemoryTileRows):
    """Rows to which something happens before or after they are read as a whole."""

    before_reading: Callable[[], None] = staticmethod(nothing)
    after_reading: Callable[[], None] = staticmethod(nothing)

    def catalogue(self) -> tuple[CatalogueColumns, VariantTable]:
        self.before_reading()
        found = super().catalogue()
        self.after_reading()
        return found


class ObservedFiles(MemoryTileFiles):
    """Files to which something happens before or after they are listed, or one of them is looked for."""

    before_listing: Callable[[], None] = staticmethod(nothing)
    after_listing: Callable[[], None] = staticmethod(nothing)
    before_looking: Callable[[], None] = staticmethod(nothing)
    after_looking: Callable[[], None] = staticmethod(nothing)

    def exists(self, tile_id: TileId) -> bool:
        self.before_looking()
        found = super().exists(tile_id)
        self.after_looking()
        return found

    def inventory(self) -> TileInventory:
        self.before_listing()
        found = super().inventory()
        self.after_listing()
        return found


class Store:
    """Both halves, claimed, and the order of their being looked at under control."""

    def __init__(self) -> None:
        self.rows = ObservedRows()
        self.files = ObservedFiles()
        self.files.claim(self.rows.store_id())
        self.catalogue = MemoryTileCatalogue()

    def open(self) -> ReconcileReport:
        return reconcile(self.rows, self.files, self.catalogue, now=NOW, lock_timeout_s=5.0)

    def write(self, tile_id: TileId) -> None:
        metadata = described(tile_id)
        with self.rows.insert(metadata, NOW) as row:
            self.files.place(self.files.stage(PIXELS, metadata))
            row.commit()

    def delete(self, tile_id: TileId) -> None:
        with self.rows.removing(tile_id):
            self.files.remove(tile_id)

    def first_the_files(self, then: Callable[[], None]) -> None:
        """Let the rows be read when the files were listed and `then` has happened."""
        listed = threading.Event()
        self.files.after_listing = listed.set

        def wait() -> None:
            assert listed.wait(30)
            then()

        self.rows.before_reading = wait

    def first_the_rows(self, then: Callable[[], None]) -> None:
        """Let the files be listed when the rows were read and `then` has happened."""
        was_read = threading.Event()
        self.rows.after_reading = was_read.set

        def wait() -> None:
            assert was_read.wait(30)
            then()

        self.files.before_listing = wait


def described(tile_id: TileId) -> TileMetadata:

    return example_metadata(tile_id, PIXELS, captured_at=NOW)


def imported(x: int) -> TileId:
    return TileId(12, x, 0, TileSource.IMPORTED)


@pytest.fixture
def store() -> Store:
    store = Store()
    for x in range(5):
        store.write(imported(x))
    return store


def known(store: Store) -> set[int]:
    return {x for x in range(100) if imported(x) in store.catalogue}


def test_files_and_rows_are_looked_at_at_the_same_time(store: Store) -> None:
    both = threading.Barrier(2)
    store.rows.before_reading = lambda: meet(both)
    store.files.before_listing = lambda: meet(both)
    assert store.open().tiles == 5


@pytest.mark.parametrize("order", [Store.first_the_files, Store.first_the_rows])
def test_a_tile_written_in_between_is_neither_an_orphan_nor_missing(
    store: Store, order: Callable[[Store, Callable[[], None]], None]
) -> None:
    order(store, lambda: store.write(imported(9)))
    report = store.open()
    assert (report.tiles, report.orphans_removed, report.files_missing) == (6, 0, 0)
    assert known(store) == {0, 1, 2, 3, 4, 9}
    assert store.files.exists(imported(9))


@pytest.mark.parametrize("order", [Store.first_the_files, Store.first_the_rows])
def test_a_tile_deleted_in_between_is_neither_missing_nor_known(
    store: Store, order: Callable[[Store, Callable[[], None]], None]
) -> None:
    order(store, lambda: store.delete(imported(2)))
    report = store.open()
    assert (report.orphans_removed, report.files_missing) == (0, 0)
    assert known(store) == {0, 1, 3, 4}


@pytest.mark.parametrize("moment", ["before_looking", "after_looking"])
def test_a_tile_deleted_while_it_is_taken_for_missing_is_not_reported(store: Store, moment: str) -> None:
    store.first_the_files(lambda: store.write(imported(9)))  # listed without it, though its file is there

    def delete_once() -> None:
        setattr(store.files, moment, nothing)
        store.delete(imported(9))

    setattr(store.files, moment, delete_once)
    assert store.open().files_missing == 0
    assert known(store) == {0, 1, 2, 3, 4}
    assert not store.rows.files_missing


@pytest.mark.parametrize("order", [Store.first_the_files, Store.first_the_rows])
def test_the_first_tile_of_a_flight_written_in_between_becomes_known(
    store: Store, order: Callable[[Store, Callable[[], None]], None]
) -> None:
    onboard = TileId(12, 5, 5, TileSource.ONBOARD, FLIGHT)
    order(store, lambda: store.write(onboard))
    assert store.open().orphans_removed == 0
    assert onboard in store.catalogue


def test_a_tile_that_this_process_writes_while_the_rows_are_read_stays_known(store: Store) -> None:
    def write_and_note() -> None:
        store.write(imported(9))
        row = store.rows.get(imported(9))
        assert row is not None
        store.catalogue.add(row)

    store.rows.after_reading = write_and_note
    store.open()
    assert 9 in known(store)


def test_orphans_of_known_and_of_unknown_flights_are_removed_with_their_sidecars(store: Store) -> None:
    orphans = [
        imported(9),
        TileId(12, 5, 5, TileSource.ONBOARD, FLIGHT),
        TileId(0, 0, 0, TileSource.IMPORTED),
    ]
    for tile_id in orphans:
        store.files.place(store.files.stage(PIXELS, described(tile_id)))
    store.files.discard(FoundFile(FoundKind.TILE, orphans[2]))
    report = store.open()
    assert report.orphans_removed == 2
    assert {found.tile_id for found in store.files.inventory()} == {imported(x) for x in range(5)}


def test_an_open_logs_one_line_with_every_count(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.files.place(store.files.stage(PIXELS, described(imported(9))))
    with caplog.at_level(logging.INFO, logger="aerotile.store"):
        report = store.open()
    (line,) = [entry.getMessage() for entry in caplog.records if "c6.store.construct" in entry.getMessage()]
    assert line.split()[0] == "c6.store.construct"
    counts = {name: int(count) for name, count in (part.split("=") for part in line.split()[1:])}
    assert counts == attrs.asdict(report)
    assert (counts["tiles"], counts["orphans_removed"]) == (5, 1)


def test_a_row_without_a_file_is_marked_and_reported_and_a_lost_sidecar_restored(store: Store) -> None:
    store.files.discard(FoundFile(FoundKind.TILE, imported(1)))
    store.files.discard(FoundFile(FoundKind.SIDECAR, imported(3)))
    report = store.open()
    assert (report.files_missing, report.sidecars_restored, report.tiles) == (1, 1, 4)
    assert set(store.rows.files_missing) == {imported(1)}
    assert store.files.sidecar_sha256(imported(3)) == described(imported(3)).content_sha256
    store.files.place(store.files.stage(PIXELS, described(imported(1))))
    assert store.open().files_back == 1


@pytest.mark.parametrize("deleted", [False, True])
def test_an_old_row_is_missing_its_file_unless_it_is_deleted_meanwhile(
    store: Store, deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = imported(9)
    store.rows.add_row_without_hash(TileMetadataPersistent.of(described(old), created_at=NOW))

    def find_none(tile_id: TileId) -> TilePixelHandle:
        if deleted:
            store.delete(old)
        raise TileNotFoundError(tile_id)

    monkeypatch.setattr(store.files, "open", find_none)
    assert store.open().files_missing == (not deleted)


def test_a_store_without_rows_or_files_opens() -> None:
    store = Store()
    assert store.open().tiles == 0
    store.files.place(store.files.stage(PIXELS, described(imported(1))))
    assert store.open().orphans_removed == 1


@pytest.mark.parametrize("half", ["rows", "files"])
def test_a_half_that_does_not_answer_is_what_the_open_raises(store: Store, half: str) -> None:
    def fail() -> None:
        raise StoreUnavailableError(f"the {half} do not answer")

    store.rows.before_reading = fail if half == "rows" else nothing
    store.files.before_listing = fail if half == "files" else nothing
    others = set(threading.enumerate())
    with pytest.raises(StoreUnavailableError, match=f"the {half} do not answer"):
        store.open()
    assert set(threading.enumerate()) <= others
