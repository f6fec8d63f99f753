"""What every `TileRows` holds, in PostgreSQL and in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from itertools import islice
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt
import pytest

from aerotile.adapters.memory.rows import MemoryTileRows
from aerotile.domain.catalogue import CatalogueColumns
from aerotile.domain.errors import (
    CacheBudgetExhaustedError,
    DuplicateTileError,
    StoreUnavailableError,
    TileNotFoundError,
)
from aerotile.domain.ports import TileMetadataStore
from aerotile.domain.storage import HeadroomTakenError, TileRows
from aerotile.domain.tile_key import VariantTable
from aerotile.domain.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileQualityMetadata,
    TileSource,
    VotingStatus,
)

NOW = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)
FLIGHT = UUID(int=7)
LEGACY = TileId(9, 4, 5, TileSource.ONBOARD, FLIGHT)


def imported(x: int) -> TileId:
    return TileId(12, x, 0, TileSource.IMPORTED)


def described(tile_id: TileId, disk_bytes: int = 100) -> TileMetadata:
    return TileMetadata(
        tile_id=tile_id,
        captured_at=NOW - timedelta(days=3, microseconds=7),
        content_sha256=f"{disk_bytes:064x}",
        disk_bytes=disk_bytes,
        ground_sample_distance=1.25,
    )


@attrs.frozen
class Subject:
    """Rows under test, a second look at what they hold, and what no port offers."""

    rows: TileRows
    known: TileMetadataStore
    with_budget: Callable[[int], TileRows]
    add_legacy_row: Callable[[], None]
    files_missing: Callable[[], dict[TileId, datetime]]

    def store(self, *metadata: TileMetadata) -> None:
        with self.rows.insert_many(metadata, NOW) as rows:
            rows.commit()

    def total(self) -> int:
        return self.known.total_disk_bytes()

    def committed(self) -> set[TileId]:
        return {tile.tile_id for tile in self.rows.committed()}


def in_memory() -> Subject:
    rows = MemoryTileRows()

    def with_budget(disk_budget_bytes: int) -> MemoryTileRows:
        rows.disk_budget_bytes = disk_budget_bytes
        return rows

    legacy = TileMetadataPersistent.of(described(LEGACY), created_at=NOW)
    return Subject(
        rows,
        rows,
        with_budget,
        lambda: rows.add_incomplete(legacy),
        lambda: rows.files_missing,
    )


@pytest.fixture(params=["memory", "postgres"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "memory":
        yield in_memory()
        return
    from aerotile.adapters.postgres.connection import Database
    from aerotile.adapters.postgres.metadata_store import PostgresTileMetadataStore
    from aerotile.adapters.postgres.rows import PostgresTileRows

    with Database(request.getfixturevalue("migrated_database"), max_size=16) as database:
        rows = PostgresTileRows(database)

        def add_legacy_row() -> None:
            database.fetch_all(
                "adding a row as revision 0001 had it",
                """
                INSERT INTO tiles (zoom_level, x, y, source, flight_id, captured_at, tile_size_pixels,
                                   ground_sample_distance, tile_uuid, location_hash)
                VALUES (9, 4, 5, 'onboard', %s, now(), 256, 1.5, %s, %s) RETURNING id
                """,
                (FLIGHT, LEGACY.tile_uuid, LEGACY.location_hash),
            )

        def files_missing() -> dict[TileId, datetime]:
            marked = database.fetch_all(
                "reading the marks",
                "SELECT zoom_level, x, y, file_missing_at FROM tiles WHERE file_missing_at IS NOT NULL",
            )
            return {TileId(zoom_level, x, y, TileSource.IMPORTED): at for zoom_level, x, y, at in marked}

        yield Subject(
            rows,
            PostgresTileMetadataStore(database),
            lambda budget: PostgresTileRows(database, disk_budget_bytes=budget),
            add_legacy_row,
            files_missing,
        )


def test_a_committed_row_comes_back_as_it_was_given(subject: Subject) -> None:
    metadata = TileMetadata(
        tile_id=TileId(22, 4194303, 0, TileSource.ONBOARD, FLIGHT),
        captured_at=NOW - timedelta(microseconds=1),
        content_sha256="0123456789abcdef" * 4,
        disk_bytes=2**40,
        tile_size_pixels=512,
        ground_sample_distance=0.1 + 0.2,
        freshness_label=FreshnessLabel.DOWNGRADED,
        voting_status=VotingStatus.PENDING,
        quality=TileQualityMetadata(1.5, 40, 0.75, 123.456789),
    )
    with subject.rows.insert(metadata, NOW) as row:
        stored = row.commit()
    assert stored == TileMetadataPersistent.of(metadata, created_at=NOW)
    assert subject.rows.get(metadata.tile_id) == stored
    assert list(subject.rows.committed()) == [stored]


def test_a_row_left_without_commit_is_gone(subject: Subject) -> None:
    with subject.rows.insert(described(imported(1)), NOW):
        pass
    with pytest.raises(KeyError), subject.rows.insert(described(imported(1)), NOW):
        raise KeyError
    assert subject.rows.get(imported(1)) is None
    assert subject.total() == 0


def test_an_open_row_is_seen_by_nobody_else(subject: Subject) -> None:
    with subject.rows.insert(described(imported(1)), NOW) as row:
        assert subject.rows.get(imported(1)) is None
        assert list(subject.rows.committed()) == []
        row.commit()
        assert subject.rows.get(imported(1)) is not None


def test_a_second_row_of_a_tile_is_refused_at_once_and_the_first_stays(subject: Subject) -> None:
    subject.store(described(imported(1), 100))
    with (
        pytest.raises(DuplicateTileError) as refused,
        subject.rows.insert(described(imported(1), 200), NOW),
    ):
        pytest.fail("a duplicate was inserted")
    assert refused.value.tile_id == imported(1)
    stored = subject.rows.get(imported(1))
    assert stored is not None
    assert stored.disk_bytes == 100
    assert subject.total() == 100


def test_refusals_do_not_spoil_the_writes_that_follow(subject: Subject) -> None:
    rows = subject.with_budget(1200)
    for x in range(12):
        with rows.insert(described(imported(x)), NOW) as row:
            row.commit()
        with pytest.raises(DuplicateTileError), rows.insert(described(imported(x)), NOW):
            pytest.fail("a duplicate was inserted")
        with rows.insert(described(imported(99), 1201), NOW) as row, pytest.raises(HeadroomTakenError):
            row.commit()
    assert subject.committed() == {imported(x) for x in range(12)}


def test_a_transaction_is_committed_once_only(subject: Subject) -> None:
    with subject.rows.insert(described(imported(1)), NOW) as row:
        row.commit()
        with pytest.raises(ValueError, match="ended"):
            row.commit()
    with subject.rows.insert(described(imported(2)), NOW) as late:
        pass
    with pytest.raises(ValueError, match="ended"):
        late.commit()
    assert subject.total() == 100


def test_of_two_writers_of_one_tile_exactly_one_wins(subject: Subject) -> None:
    both_ready = threading.Barrier(2)

    def write(disk_bytes: int) -> int | None:
        both_ready.wait()
        try:
            with subject.rows.insert(described(imported(1), disk_bytes), NOW) as row:
                row.commit()
        except DuplicateTileError:
            return None
        return disk_bytes

    with ThreadPoolExecutor(2) as pool:
        for x in range(20):
            winners = [size for size in pool.map(write, (1, 2)) if size is not None]
            assert len(winners) == 1, x
            stored = subject.rows.get(imported(1))
            assert stored is not None
            assert [stored.disk_bytes] == winners
            with subject.rows.removing(imported(1)):
                pass


def test_a_second_writer_gets_the_tile_when_the_first_gives_up(subject: Subject) -> None:
    def write() -> TileMetadataPersistent:
        with subject.rows.insert(described(imported(1), 2), NOW) as row:
            return row.commit()

    with ThreadPoolExecutor(1) as pool:
        with subject.rows.insert(described(imported(1), 1), NOW):
            second = pool.submit(write)
        assert second.result(timeout=30).disk_bytes == 2


def test_a_batch_names_its_duplicates_and_stores_the_rest(subject: Subject) -> None:
    subject.store(described(imported(1)))
    with subject.rows.insert_many([described(imported(x)) for x in (0, 1, 2)], NOW) as rows:
        assert rows.duplicates == {imported(1)}
        stored = rows.commit()
    assert set(stored) == {imported(0), imported(2)}
    assert stored[imported(0)] == TileMetadataPersistent.of(described(imported(0)), created_at=NOW)
    assert subject.total() == 300


def test_discarded_rows_of_a_batch_are_neither_stored_nor_counted(subject: Subject) -> None:
    with subject.rows.insert_many([described(imported(x)) for x in range(4)], NOW) as rows:
        rows.discard([imported(1), imported(3)])
        assert set(rows.commit()) == {imported(0), imported(2)}
    assert subject.committed() == {imported(0), imported(2)}
    assert subject.total() == 200


def test_a_batch_left_without_commit_is_gone(subject: Subject) -> None:
    with subject.rows.insert_many([described(imported(x)) for x in range(4)], NOW):
        pass
    assert subject.committed() == set()
    assert subject.total() == 0


@pytest.mark.parametrize("known", [0, 2])
def test_a_batch_with_nothing_new_commits_nothing(subject: Subject, known: int) -> None:
    tiles = [described(imported(x)) for x in range(known)]
    subject.store(*tiles)
    with subject.rows.insert_many(tiles, NOW) as rows:
        assert rows.commit() == {}
    assert subject.total() == known * 100


def test_a_batch_that_names_a_tile_twice_is_refused(subject: Subject) -> None:
    twice = [described(imported(1), 1), described(imported(1), 2)]
    with pytest.raises(ValueError, match="twice"), subject.rows.insert_many(twice, NOW):
        pass


def test_batches_that_share_tiles_in_any_order_never_wait_for_each_other_in_a_circle(
    subject: Subject,
) -> None:
    tiles = [described(imported(x)) for x in range(2000)]
    both_ready = threading.Barrier(2)

    def write(batch: list[TileMetadata]) -> int:
        both_ready.wait()
        with subject.rows.insert_many(batch, NOW) as rows:
            return len(rows.commit())

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(write, (tiles, tiles[::-1]))) == 2000
    assert subject.total() == 200_000


def test_a_batch_of_many_kinds_of_tile_keeps_the_facts_of_each(subject: Subject) -> None:
    plain = attrs.evolve(described(imported(3), 10), ground_sample_distance=2)
    onboard = TileMetadata(
        tile_id=TileId(12, 3, 0, TileSource.ONBOARD, FLIGHT),
        captured_at=NOW,
        content_sha256="f" * 64,
        disk_bytes=20,
        ground_sample_distance=3.0,
        voting_status=VotingStatus.TRUSTED,
        quality=TileQualityMetadata(0, 0, 0.5, 0.0),
    )
    other = attrs.evolve(
        onboard,
        tile_id=TileId(12, 3, 0, TileSource.ONBOARD, UUID(int=8)),
        quality=TileQualityMetadata(0.25, 3, 1, 2),
    )
    subject.store(plain, onboard, other)
    for metadata in (plain, onboard, other):
        expected = TileMetadataPersistent.of(metadata, created_at=NOW)
        assert subject.rows.get(metadata.tile_id) == expected


def test_the_total_follows_every_commit_and_removal(subject: Subject) -> None:
    subject.store(described(imported(1), 70), described(imported(2), 30))
    assert subject.total() == 100
    with subject.rows.removing(imported(1)) as freed:
        assert freed == 70
        assert subject.total() == 30
    with subject.rows.removing(imported(1)) as freed:
        assert freed is None
    assert subject.total() == 30
    assert subject.total() == sum(tile.disk_bytes for tile in subject.rows.committed())


def eviction_cases() -> Iterator[tuple[str, TileMetadata, Callable[[Subject, TileId], object], bool]]:
    def nothing(subject: Subject, tile_id: TileId) -> None:
        pass

    def pinned(subject: Subject, tile_id: TileId) -> None:
        subject.known.set_pinned(tile_id, True)  # type: ignore[attr-defined] # both have it

    def uploaded(subject: Subject, tile_id: TileId) -> None:
        subject.known.mark_uploaded(tile_id, NOW, f"{100:064x}")

    def given_up(subject: Subject, tile_id: TileId) -> None:
        subject.known.update_voting_status(tile_id, VotingStatus.UPLOAD_GIVEUP)

    def rejected(subject: Subject, tile_id: TileId) -> None:
        subject.known.update_voting_status(tile_id, VotingStatus.REJECTED)

    onboard = attrs.evolve(described(LEGACY), voting_status=VotingStatus.PENDING)
    yield "imported", described(imported(1)), nothing, True
    yield "pinned", described(imported(1)), pinned, False
    yield "onboard", onboard, nothing, False
    yield "uploaded", onboard, uploaded, True
    yield "given up", onboard, given_up, True
    yield "rejected", onboard, rejected, False


@pytest.mark.parametrize(
    ("metadata", "happens", "goes"), [pytest.param(*case[1:], id=case[0]) for case in eviction_cases()]
)
def test_only_a_row_that_may_be_evicted_is_removed_by_an_eviction(
    subject: Subject, metadata: TileMetadata, happens: Callable[[Subject, TileId], object], goes: bool
) -> None:
    tile_id = metadata.tile_id
    subject.store(metadata)
    happens(subject, tile_id)
    with subject.rows.removing(tile_id, evicting=True) as freed:
        assert freed == (100 if goes else None)
    assert (subject.rows.get(tile_id) is None) is goes
    assert subject.total() == (0 if goes else 100)


def test_an_eviction_leaves_a_row_that_does_not_know_its_hash(subject: Subject) -> None:
    subject.add_legacy_row()
    with subject.rows.removing(LEGACY, evicting=True) as freed:
        assert freed is None
    assert list(subject.rows.incomplete()) == [LEGACY]


def test_of_the_tiles_that_are_asked_about_those_with_a_row_are_found(subject: Subject) -> None:
    subject.store(described(imported(1)), described(imported(2)))
    subject.add_legacy_row()
    found = subject.rows.committed_among([imported(2), imported(3), LEGACY])
    assert found == {imported(2): subject.rows.get(imported(2))}
    assert subject.rows.committed_among([]) == {}


def test_a_tile_can_be_written_again_after_its_removal(subject: Subject) -> None:
    subject.store(described(imported(1), 1))
    with subject.rows.removing(imported(1)):
        pass
    subject.store(described(imported(1), 2))
    assert subject.total() == 2


@pytest.mark.parametrize("in_batch", [False, True])
def test_nobody_writes_a_tile_again_before_its_removal_is_over(subject: Subject, in_batch: bool) -> None:
    subject.store(described(imported(1), 1))
    over = threading.Event()

    def write() -> bool:
        again = described(imported(1), 2)
        if in_batch:
            with subject.rows.insert_many([again, described(imported(2))], NOW) as rows:
                was_over = over.is_set()
                rows.commit()
        else:
            with subject.rows.insert(again, NOW) as row:
                was_over = over.is_set()
                row.commit()
        return was_over

    with ThreadPoolExecutor(1) as pool:
        with subject.rows.removing(imported(1)):
            writing = pool.submit(write)
            # Not a timing assertion: a writer that does not wait is done long before, one that does can't be.
            over.wait(0.3)
            assert not writing.done()
            over.set()
        assert writing.result(timeout=30)


def test_a_removal_that_fails_half_way_does_not_keep_writers_out(subject: Subject) -> None:
    subject.store(described(imported(1), 1))
    with pytest.raises(KeyError), subject.rows.removing(imported(1)):
        raise KeyError
    subject.store(described(imported(1), 2))
    assert subject.total() == 2


def test_a_commit_within_the_budget_to_the_last_byte_passes_and_one_byte_more_does_not(
    subject: Subject,
) -> None:
    rows = subject.with_budget(300)
    with rows.insert(described(imported(1), 200), NOW) as row:
        row.commit()
    with rows.insert(described(imported(2), 100), NOW) as row:
        row.commit()
    with (
        rows.insert(described(imported(3), 1), NOW) as row,
        pytest.raises(HeadroomTakenError) as refused,
    ):
        row.commit()
    error = refused.value
    assert (error.needed_bytes, error.budget_bytes, error.total_bytes) == (1, 300, 300)
    assert isinstance(error, CacheBudgetExhaustedError)
    assert rows.get(imported(3)) is None
    assert subject.total() == 300


def test_after_a_refused_commit_the_tile_is_still_kept_from_other_writers(subject: Subject) -> None:
    rows = subject.with_budget(100)

    def write() -> None:
        with rows.insert(described(imported(1), 50), NOW) as row:
            row.commit()

    with ThreadPoolExecutor(1) as pool:
        with rows.insert(described(imported(1), 101), NOW) as row:
            with pytest.raises(HeadroomTakenError):
                row.commit()
            other = pool.submit(write)
            threading.Event().wait(0.3)
            assert not other.done()
        other.result(timeout=30)
    assert subject.total() == 50


def test_a_batch_over_the_budget_is_refused_as_a_whole(subject: Subject) -> None:
    rows = subject.with_budget(250)
    with (
        rows.insert_many([described(imported(x)) for x in range(3)], NOW) as batch,
        pytest.raises(HeadroomTakenError),
    ):
        batch.commit()
    assert subject.total() == 0
    assert subject.committed() == set()


def test_eight_writers_together_never_pass_the_budget(subject: Subject) -> None:
    rows = subject.with_budget(1000)
    seen: list[int] = []

    def write(x: int) -> bool:
        try:
            with rows.insert(described(imported(x), 30), NOW) as row:
                row.commit()
        except HeadroomTakenError:
            return False
        finally:
            seen.append(subject.total())
        return True

    with ThreadPoolExecutor(8) as pool:
        stored = sum(pool.map(write, range(80)))
    assert stored == 33
    assert max(seen) <= 1000
    assert subject.total() == 33 * 30 == sum(tile.disk_bytes for tile in subject.rows.committed())


def test_committed_rows_are_one_snapshot_however_slowly_they_are_read(subject: Subject) -> None:
    subject.store(*(described(imported(x)) for x in range(10)))
    reading = subject.rows.committed()
    first = next(reading)
    with subject.rows.removing(imported(9)):
        pass
    subject.store(described(imported(20)))
    assert {first.tile_id, *(tile.tile_id for tile in reading)} == {imported(x) for x in range(10)}


def test_the_catalogue_holds_what_it_keeps_of_every_committed_row_and_of_no_other(subject: Subject) -> None:
    onboard = attrs.evolve(
        described(TileId(22, 4194303, 4194303, TileSource.ONBOARD, FLIGHT), 2**40),
        freshness_label=FreshnessLabel.DOWNGRADED,
        voting_status=VotingStatus.UPLOAD_GIVEUP,
    )
    other = attrs.evolve(
        described(TileId(0, 0, 0, TileSource.ONBOARD, UUID(int=8)), 3), voting_status=VotingStatus.TRUSTED
    )
    satellite = described(TileId(7, 100, 3, TileSource.SATELLITE_PROVIDER), 4)
    subject.store(onboard, other, satellite, *(described(imported(x), x + 1) for x in range(50)))
    subject.known.record_lru_access({satellite.tile_id: NOW + timedelta(hours=1)})
    subject.known.mark_uploaded(other.tile_id, NOW, other.content_sha256)
    with subject.rows.removing(imported(7)):
        pass
    subject.add_legacy_row()
    columns, variants = subject.rows.catalogue()
    rows = list(subject.rows.committed())
    assert len(rows) == 52
    assert set(variants.flights) == {FLIGHT, UUID(int=8)}
    expected = CatalogueColumns.of(rows, variants)
    for found, wanted in zip(in_order(columns), in_order(expected), strict=True):
        assert np.array_equal(found, wanted)


def in_order(columns: CatalogueColumns) -> list[npt.NDArray[np.generic]]:
    by_key = columns.at(np.argsort(columns.keys))
    return [getattr(by_key, field.name) for field in attrs.fields(CatalogueColumns)]


def test_the_catalogue_of_no_rows_is_empty(subject: Subject) -> None:
    columns, variants = subject.rows.catalogue()
    assert len(columns) == 0
    assert variants == VariantTable()


def test_the_catalogue_is_read_beside_open_rows_and_does_not_show_them(subject: Subject) -> None:
    subject.store(described(imported(1)))
    with subject.rows.insert(described(imported(2)), NOW) as row:
        assert len(subject.rows.catalogue()[0]) == 1
        row.commit()
        assert len(subject.rows.catalogue()[0]) == 2


def test_tiles_are_counted_by_source_and_zoom(subject: Subject) -> None:
    assert subject.rows.counts() == {}
    subject.store(*(described(imported(x)) for x in range(5)))
    subject.store(
        described(TileId(7, 1, 1, TileSource.IMPORTED)),
        described(TileId(12, 1, 1, TileSource.ONBOARD, FLIGHT)),
    )
    subject.add_legacy_row()
    assert subject.rows.counts() == {
        (TileSource.IMPORTED, 12): 5,
        (TileSource.IMPORTED, 7): 1,
        (TileSource.ONBOARD, 12): 1,
    }


def test_a_reading_that_is_given_up_holds_nothing_back(subject: Subject) -> None:
    subject.store(*(described(imported(x)) for x in range(10)))
    for _ in range(40):
        assert len(list(islice(subject.rows.committed(), 2))) == 2
    subject.store(described(imported(10)))


def test_the_lock_waits_for_open_rows_and_then_sees_how_they_ended(subject: Subject) -> None:
    inserted, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with subject.rows.insert(described(imported(1)), NOW) as row:
            inserted.set()
            go_on.wait(30)
            row.commit()

    def look() -> set[TileId]:
        with subject.rows.locked(30) as locked:
            return set(locked.committed_among([imported(1), imported(2)]))

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write)
        assert inserted.wait(30)
        looking = pool.submit(look)
        threading.Event().wait(0.2)
        assert not looking.done()
        go_on.set()
        writing.result(timeout=30)
        assert looking.result(timeout=30) == {imported(1)}


@pytest.mark.parametrize("in_batch", [False, True])
def test_the_lock_keeps_new_writers_waiting(subject: Subject, in_batch: bool) -> None:
    released = threading.Event()

    def write() -> bool:
        if in_batch:
            with subject.rows.insert_many([described(imported(1))], NOW) as rows:
                waited = released.is_set()
                rows.commit()
        else:
            with subject.rows.insert(described(imported(1)), NOW) as row:
                waited = released.is_set()
                row.commit()
        return waited

    with ThreadPoolExecutor(1) as pool:
        with subject.rows.locked(30):
            writing = pool.submit(write)
            released.wait(0.3)
            assert not writing.done()
            released.set()
        assert writing.result(timeout=30)


def test_the_lock_gives_up_in_time_and_leaves_writers_alone(subject: Subject) -> None:
    with subject.rows.insert(described(imported(1)), NOW) as row:
        with pytest.raises(StoreUnavailableError), subject.rows.locked(0.1):
            pytest.fail("the lock was had beside a writer")
        row.commit()
    subject.store(described(imported(2)))
    assert subject.committed() == {imported(1), imported(2)}


def test_two_locks_exclude_each_other(subject: Subject) -> None:
    with (
        subject.rows.locked(30),
        pytest.raises(StoreUnavailableError),
        subject.rows.locked(0.1),
    ):
        pytest.fail("two had the lock at once")


def test_rows_under_the_lock_are_told_whole_and_unknown_tiles_are_left_out(subject: Subject) -> None:
    subject.store(*(described(imported(x)) for x in range(3)))
    with subject.rows.locked(30) as locked:
        found = locked.committed_among(imported(x) for x in (0, 2, 5))
        assert locked.committed_among([]) == {}
    assert found == {t: subject.rows.get(t) for t in (imported(0), imported(2))}


def test_a_missing_file_is_noted_once_and_unknown_tiles_are_ignored(subject: Subject) -> None:
    subject.store(described(imported(1)), described(imported(2)))
    subject.rows.mark_files_missing([imported(1), imported(9)], NOW)
    subject.rows.mark_files_missing([imported(1)], NOW + timedelta(hours=1))
    assert subject.files_missing() == {imported(1): NOW}
    assert subject.rows.get(imported(1)) is not None


def test_rows_from_before_hashes_are_left_out_until_they_are_completed(subject: Subject) -> None:
    subject.add_legacy_row()
    subject.store(described(imported(1)))
    assert list(subject.rows.incomplete()) == [LEGACY]
    assert subject.committed() == {imported(1)}
    assert subject.rows.get(LEGACY) is None
    subject.rows.complete(LEGACY, "a" * 64, 40)
    assert list(subject.rows.incomplete()) == []
    completed = subject.rows.get(LEGACY)
    assert completed is not None
    assert (completed.content_sha256, completed.disk_bytes) == ("a" * 64, 40)
    assert subject.total() == 140


def test_a_tile_whose_row_has_no_hash_yet_is_a_duplicate_all_the_same(subject: Subject) -> None:
    subject.add_legacy_row()
    with pytest.raises(DuplicateTileError), subject.rows.insert(described(LEGACY), NOW):
        pytest.fail("a duplicate was inserted")
    with subject.rows.insert_many([described(LEGACY)], NOW) as rows:
        assert rows.duplicates == {LEGACY}


def test_a_row_without_a_hash_can_be_removed_and_frees_nothing(subject: Subject) -> None:
    subject.add_legacy_row()
    with subject.rows.removing(LEGACY) as freed:
        assert freed == 0
    assert list(subject.rows.incomplete()) == []
    assert subject.total() == 0


def test_only_a_row_without_a_hash_is_completed(subject: Subject) -> None:
    subject.store(described(imported(1)))
    for tile_id in (imported(1), imported(2)):
        with pytest.raises(TileNotFoundError):
            subject.rows.complete(tile_id, "a" * 64, 40)
    assert subject.total() == 100


def test_times_without_a_zone_are_refused(subject: Subject) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="created_at"), subject.rows.insert(described(imported(1)), naive):
        pass
    with pytest.raises(ValueError, match="at must be"):
        subject.rows.mark_files_missing([imported(1)], naive)
