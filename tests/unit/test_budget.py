"""The disk budget over an in-memory store: what goes, what stays, and what is never exceeded."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.recorder import MemoryFlightRecorder
from aerotile.adapters.memory.rows import MemoryTileRows
from aerotile.adapters.memory.sector_index import MemorySectorIndex
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.domain.budget import BudgetEnforcedTileStore, CacheBudgetEnforcer, may_be_evicted
from aerotile.domain.catalogue import microseconds_of
from aerotile.domain.errors import (
    CacheBudgetExhaustedError,
    ContentHashMismatchError,
    FreshnessRejectionError,
    StoreUnavailableError,
    TileNotFoundError,
)
from aerotile.domain.freshness import FreshnessGate
from aerotile.domain.ports import TilePixelHandle
from aerotile.domain.records import Kind
from aerotile.domain.sectors import SEEDED_RULES, SectorClassification
from aerotile.domain.sorted_catalogue import SortedTileCatalogue
from aerotile.domain.store import FileBackedTileStore
from aerotile.domain.tile_changes import ChangeKind, TileChange
from aerotile.domain.tiles import (
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileSource,
    VotingStatus,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
FLIGHT = UUID(int=7)


def pixels_of(size: int, seed: int = 0) -> bytes:
    return b"\xff\xd8\xff" + seed.to_bytes(4, "big") + bytes(size - 9) + b"\xff\xd9"


def metadata_of(tile_id: TileId, pixels: bytes, captured_at: datetime = NOW) -> TileMetadata:
    return TileMetadata(
        tile_id=tile_id,
        captured_at=captured_at,
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=1.0,
        voting_status=VotingStatus.PENDING if tile_id.source is TileSource.ONBOARD else None,
    )


def imported(x: int) -> TileId:
    return TileId(8, x, 0, TileSource.IMPORTED)


def onboard(x: int) -> TileId:
    return TileId(8, x, 0, TileSource.ONBOARD, FLIGHT)


@attrs.frozen
class Cache:
    """A budgeted in-memory store with everything a test looks at."""

    store: BudgetEnforcedTileStore
    inner: FileBackedTileStore
    enforcer: CacheBudgetEnforcer
    rows: MemoryTileRows
    clock: ManualClock
    recorder: MemoryFlightRecorder

    @classmethod
    def of(
        cls,
        budget_bytes: int,
        batch: int = 3,
        classification: SectorClassification = SectorClassification.STABLE_REAR,
        rows: MemoryTileRows | None = None,
    ) -> Cache:
        clock, recorder, rows = (
            ManualClock(NOW),
            MemoryFlightRecorder(),
            MemoryTileRows() if rows is None else rows,
        )
        gate = FreshnessGate(
            [],
            SEEDED_RULES,
            sector_index=MemorySectorIndex([]),
            default_classification=classification,
            clock=clock,
            recorder=recorder,
        )
        inner = FileBackedTileStore(
            rows,
            MemoryTileFiles(),
            catalogue=SortedTileCatalogue(),
            gate=gate,
            clock=clock,
            recorder=recorder,
        )
        enforcer = CacheBudgetEnforcer(
            inner,
            inner.catalogue,
            committed_bytes=rows.total_disk_bytes,
            budget_bytes=budget_bytes,
            eviction_batch_size=batch,
            recorder=recorder,
        )
        return cls(BudgetEnforcedTileStore(inner, enforcer), inner, enforcer, rows, clock, recorder)

    def write(self, tile_id: TileId, size: int = 100) -> TileMetadataPersistent:
        self.clock.advance(timedelta(seconds=1))
        pixels = pixels_of(size)
        return self.store.write_tile(pixels, metadata_of(tile_id, pixels))

    def kinds(self) -> list[Kind]:
        return [event.kind for event in self.recorder.events]


def test_nothing_is_evicted_while_there_is_room_to_the_last_byte() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    assert cache.rows.total_disk_bytes() == 300
    assert Kind.EVICTION_BATCH not in cache.kinds()


def test_the_least_recently_used_tile_makes_room() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    cache.inner.catalogue.note_accesses([imported(0)], [microseconds_of(cache.clock.now()) + 1])
    cache.write(imported(3))
    assert not cache.store.tile_exists(imported(1))
    assert all(cache.store.tile_exists(imported(x)) for x in (0, 2, 3))


def test_no_more_is_evicted_than_the_write_needs() -> None:
    cache = Cache.of(300, batch=3)
    for x in range(3):
        cache.write(imported(x))
    cache.write(imported(3), size=150)
    assert cache.rows.total_disk_bytes() == 250


def test_each_eviction_is_logged_and_each_batch_recorded_with_five_names_at_most(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = Cache.of(1000, batch=7)
    for x in range(10):
        cache.write(imported(x))
    with caplog.at_level(logging.INFO, "aerotile.budget"):
        cache.write(imported(10), size=1000)
    batches = [e.payload for e in cache.recorder.events if e.kind is Kind.EVICTION_BATCH]
    assert [(len(b["tiles"]), b["count"], b["freed_bytes"]) for b in batches] == [(5, 7, 700), (3, 3, 300)]
    assert sum("c6.evicted" in message for message in caplog.messages) == 10


def test_pinned_tiles_and_onboard_tiles_that_exist_only_here_are_never_evicted() -> None:
    cache = Cache.of(300)
    cache.write(imported(0))
    cache.rows.set_pinned(imported(0), True)  # of which the catalogue has not heard
    cache.write(onboard(1))
    cache.write(imported(2))
    cache.write(imported(3))
    assert cache.store.tile_exists(imported(0))
    assert cache.store.tile_exists(onboard(1))
    assert not cache.store.tile_exists(imported(2))


def test_when_nothing_may_go_the_error_comes_after_the_sweep_with_every_figure() -> None:
    cache = Cache.of(250)
    cache.write(onboard(0))
    cache.write(imported(1))
    with pytest.raises(CacheBudgetExhaustedError) as refusal:
        cache.write(imported(2), size=200)
    assert (refusal.value.needed_bytes, refusal.value.budget_bytes, refusal.value.total_bytes) == (
        200,
        250,
        100,
    )
    assert not cache.store.tile_exists(imported(1))
    assert cache.store.tile_exists(onboard(0))


def test_a_tile_larger_than_the_whole_budget_evicts_nothing() -> None:
    cache = Cache.of(250)
    cache.write(imported(0))
    with pytest.raises(CacheBudgetExhaustedError, match="251 bytes: the whole budget is 250 bytes"):
        cache.write(imported(1), size=251)
    assert cache.store.tile_exists(imported(0))


def test_a_refused_tile_costs_no_other_its_place() -> None:
    cache = Cache.of(100, classification=SectorClassification.ACTIVE_CONFLICT)
    cache.write(imported(0))
    pixels = pixels_of(100)
    with pytest.raises(ContentHashMismatchError):
        cache.store.write_tile(pixels_of(100, seed=1), metadata_of(imported(1), pixels))
    with pytest.raises(FreshnessRejectionError):
        cache.store.write_tile(pixels, metadata_of(imported(1), pixels, NOW - timedelta(days=181)))
    assert cache.store.tile_exists(imported(0))


def test_a_reservation_that_nobody_holds_is_released() -> None:
    cache = Cache.of(100)
    cache.enforcer.reserve_headroom(100)
    with cache.enforcer.reserve_headroom(100), pytest.raises(CacheBudgetExhaustedError):
        cache.enforcer.reserve_headroom(1)
    cache.enforcer.reserve_headroom(100)


def test_a_batch_stores_as_many_tiles_as_fit() -> None:
    cache = Cache.of(350)
    batch = [(p, metadata_of(onboard(x), p)) for x in range(5) for p in [pixels_of(100)]]
    outcomes = cache.store.write_tiles(batch)
    assert [outcome.stored is not None for outcome in outcomes] == [True, True, True, False, False]
    assert all(isinstance(o.error, CacheBudgetExhaustedError) for o in outcomes[3:])
    assert cache.rows.total_disk_bytes() == 300


def test_while_there_is_room_the_database_is_not_asked() -> None:
    cache = Cache.of(300)
    cache.write(imported(0))
    cache.rows.answers = False
    with cache.enforcer.reserve_headroom(200):
        pass
    with pytest.raises(StoreUnavailableError):
        cache.enforcer.reserve_headroom(201)


def other_writes(cache: Cache, tile_id: TileId, size: int = 100) -> None:
    """Another process writes a tile; this one does not hear of it."""
    cache.rows.insert_metadata(metadata_of(tile_id, pixels_of(size)))


@pytest.mark.parametrize("in_batch", [False, True])
def test_room_that_another_process_took_is_made_again(in_batch: bool) -> None:
    cache = Cache.of(300)
    cache.write(imported(0))
    cache.rows.disk_budget_bytes = 300
    other_writes(cache, onboard(1), 150)
    pixels = pixels_of(100)
    if in_batch:
        (outcome,) = cache.store.write_tiles([(pixels, metadata_of(imported(2), pixels))])
        assert outcome.stored is not None
    else:
        cache.write(imported(2))
    assert cache.rows.total_disk_bytes() == 250
    assert not cache.store.tile_exists(imported(0))
    assert cache.store.tile_exists(imported(2))


class GreedyRows(MemoryTileRows):
    """Rows that another process writes to as well: it takes what room it finds, just before each commit."""

    greed = 0
    """How many more tiles it takes."""

    def add(self, inserted: Mapping[TileId, TileMetadataPersistent]) -> None:
        free = (self.disk_budget_bytes or 0) - self.total_disk_bytes()
        if self.greed and free >= 100:
            self.greed -= 1
            stranger = TileMetadataPersistent.of(
                metadata_of(imported(200 + self.greed), pixels_of(100)), created_at=NOW
            )
            super().add({stranger.tile_id: stranger})
        super().add(inserted)


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_write_whose_room_is_taken_again_and_again_makes_more_room_than_it_needs(in_batch: bool) -> None:
    rows = GreedyRows()
    cache = Cache.of(1_000, rows=rows)
    for x in range(10):
        cache.write(imported(x))
    rows.disk_budget_bytes, rows.greed = 1_000, 50
    pixels = pixels_of(100)
    if in_batch:
        (outcome,) = cache.store.write_tiles([(pixels, metadata_of(imported(99), pixels))])
        assert outcome.error is None
    else:
        cache.write(imported(99))
    assert cache.store.tile_exists(imported(99))
    assert cache.rows.total_disk_bytes() <= 1_000


def test_what_only_the_database_counts_is_remembered_so_that_no_more_races_are_lost() -> None:
    cache = Cache.of(300)
    cache.rows.disk_budget_bytes = 300
    other_writes(cache, onboard(9), 150)
    for x in range(6):
        cache.write(imported(x))
    failed = [event for event in cache.recorder.events if event.kind is Kind.WRITE_FAILED]
    assert len(failed) == 1
    assert cache.rows.total_disk_bytes() == 250


def test_room_that_another_process_freed_is_used_before_anything_is_evicted() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    with cache.rows.removing(imported(2)):
        pass
    cache.write(imported(3))
    assert cache.store.tile_exists(imported(0))
    assert Kind.EVICTION_BATCH not in cache.kinds()


def test_a_candidate_that_may_not_go_after_all_is_passed_over_and_not_listed_again() -> None:
    cache = Cache.of(300, batch=1)
    for x in range(3):
        cache.write(imported(x))
    for x in range(2):
        cache.rows.set_pinned(imported(x), True)
    cache.write(imported(3))
    assert [cache.store.tile_exists(imported(x)) for x in range(4)] == [True, True, False, True]
    assert [c.tile_id for c in cache.inner.catalogue.lru_candidates(9)] == [imported(3)]


def test_what_was_listed_before_is_evicted_next_unless_it_was_read_or_pinned_since() -> None:
    cache = Cache.of(400, batch=4)
    for x in range(4):
        cache.write(imported(x))
    cache.write(imported(4))  # lists 0 to 3, evicts 0
    cache.inner.catalogue.note_accesses([imported(1)], [microseconds_of(cache.clock.now()) + 1])
    cache.rows.set_pinned(imported(2), True)
    cache.inner.apply_changes([TileChange(ChangeKind.CHANGED, imported(2))])
    cache.write(imported(5))
    assert [cache.store.tile_exists(imported(x)) for x in range(6)] == [False, True, True, False, True, True]
    cache.write(imported(6))
    assert [cache.store.tile_exists(imported(x)) for x in range(7)] == [
        *(False, True, True, False),
        *(False, True, True),
    ]


class OneByOneStore:
    """A `TileStore` that can nothing more."""

    def __init__(self, inner: FileBackedTileStore) -> None:
        self._inner = inner

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        return self._inner.read_tile_pixels(tile_id)

    def write_tile(self, pixels: bytes, metadata: TileMetadata) -> TileMetadataPersistent:
        return self._inner.write_tile(pixels, metadata)

    def tile_exists(self, tile_id: TileId) -> bool:
        return self._inner.tile_exists(tile_id)

    def delete_tile(self, tile_id: TileId) -> int:
        return self._inner.delete_tile(tile_id)


def test_room_that_a_sweep_frees_is_not_taken_by_a_write_that_came_later() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    waited: list[bool] = []

    class Watched(OneByOneStore):
        def delete_tile(self, tile_id: TileId) -> int:
            freed = super().delete_tile(tile_id)
            if not waited:
                later.start()
                # Not a timing assertion: a write that does not wait is done long before.
                later.join(0.2)
                waited.append(later.is_alive())
            return freed

    enforcer = CacheBudgetEnforcer(
        Watched(cache.inner),
        cache.inner.catalogue,
        committed_bytes=cache.rows.total_disk_bytes,
        budget_bytes=300,
        eviction_batch_size=1,
        recorder=cache.recorder,
    )
    later = threading.Thread(target=lambda: enforcer.reserve_headroom(100).release())
    with enforcer.reserve_headroom(200):
        pass
    later.join()
    assert waited == [True]
    assert cache.rows.total_disk_bytes() == 100


def test_any_tile_store_can_be_kept_within_a_budget() -> None:
    cache = Cache.of(200)
    store = BudgetEnforcedTileStore(OneByOneStore(cache.inner), cache.enforcer)
    batch = [(p, metadata_of(imported(x), p)) for x in range(3) for p in [pixels_of(100)]]
    assert all(outcome.stored for outcome in store.write_tiles(batch))
    assert cache.rows.total_disk_bytes() == 200
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels(imported(0))


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(10, 120)),
        min_size=1,
        max_size=25,
    )
)
def test_no_sequence_of_writes_ever_passes_the_budget_or_loses_what_must_stay(
    writes: list[tuple[bool, int]],
) -> None:
    cache = Cache.of(300)
    kept: set[TileId] = set()
    refusals: list[tuple[int, int]] = []
    for x, (is_onboard, size) in enumerate(writes):
        tile_id = onboard(x) if is_onboard else imported(x)
        try:
            cache.write(tile_id, size)
        except CacheBudgetExhaustedError as refusal:
            refusals.append((refusal.total_bytes, size))
        else:
            kept.update({tile_id} if is_onboard else ())
        assert cache.rows.total_disk_bytes() <= 300
        assert all(cache.store.tile_exists(tile) for tile in kept)
    assert all(total + size > 300 for total, size in refusals)


def test_writers_on_many_threads_together_never_pass_the_budget() -> None:
    cache = Cache.of(1000)
    seen: list[int] = []

    def write(first: int) -> None:
        for x in range(first, first + 20):
            pixels = pixels_of(90)
            cache.store.write_tile(pixels, metadata_of(imported(x), pixels))
            seen.append(cache.rows.total_disk_bytes())

    threads = [threading.Thread(target=write, args=(n * 20,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 160
    assert max(seen) <= 1000


def evictable_cases() -> Iterator[tuple[TileId, dict[str, object], bool]]:
    yield imported(0), {}, True
    yield imported(0), {"pinned": True}, False
    yield onboard(0), {}, False
    yield onboard(0), {"uploaded_at": NOW}, True
    yield onboard(0), {"uploaded_at": NOW, "pinned": True}, False
    yield onboard(0), {"voting_status": VotingStatus.TRUSTED}, False
    yield onboard(0), {"voting_status": VotingStatus.UPLOAD_GIVEUP}, True
    yield onboard(0), {"voting_status": VotingStatus.REJECTED}, False


@pytest.mark.parametrize(("tile_id", "facts", "expected"), list(evictable_cases()))
def test_what_may_be_evicted(tile_id: TileId, facts: dict[str, object], expected: bool) -> None:
    stored = TileMetadataPersistent.of(metadata_of(tile_id, pixels_of(10)), created_at=NOW)
    assert may_be_evicted(attrs.evolve(stored, **facts)) is expected
