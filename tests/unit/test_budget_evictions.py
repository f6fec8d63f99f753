"""The disk budget over an in-memory store: what goes, in which order, and what stays."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta

import attrs
import pytest
from budgeted_cache import NOW, Cache, imported, metadata_of, onboard, pixels_of
from hypothesis import given
from hypothesis import strategies as st
from interrupts import interrupt_at

from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.domain.errors import (
    CacheBudgetExhaustedError,
    ContentHashMismatchError,
    DuplicateTileError,
    FreshnessRejectionError,
    OnboardRoomExhaustedError,
    StoreUnavailableError,
)
from aerotile.domain.flight_events import EventKind
from aerotile.domain.store import disk_budget
from aerotile.domain.store.disk_budget import CacheBudgetEnforcer, Reservation
from aerotile.domain.values import disk_usage
from aerotile.domain.values.catalogue_entries import microseconds_of
from aerotile.domain.values.eviction_tally import LISTED_EVICTIONS
from aerotile.domain.values.sectors import SectorClassification
from aerotile.domain.values.tile_changes import ChangeKind, TileChange
from aerotile.domain.values.tile_rules import may_be_evicted
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, VotingStatus

pytestmark = pytest.mark.usefixtures("blocks_of_one_byte")


def test_nothing_is_evicted_while_there_is_room_to_the_last_byte() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    assert cache.rows.total_disk_bytes() == 300
    assert EventKind.EVICTION_BATCH not in cache.kinds()


def test_the_least_recently_used_tile_makes_room() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    cache.store.catalogue.note_accesses([imported(0)], [microseconds_of(cache.clock.now()) + 1])
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
    batches = [e.payload for e in cache.recorder.events if e.kind is EventKind.EVICTION_BATCH]
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


def test_a_sweep_that_can_not_succeed_evicts_nothing_and_the_error_has_every_figure() -> None:
    cache = Cache.of(250)
    cache.write(onboard(0))
    cache.write(imported(1))
    with pytest.raises(CacheBudgetExhaustedError) as refusal:
        cache.write(imported(2), size=200)
    error = refusal.value
    assert (error.needed_bytes, error.budget_bytes, error.total_bytes) == (200, 250, 200)
    assert (error.evictable_bytes, error.evicted_tiles) == (100, 0)
    assert "100 of them may be evicted; 0 tiles were evicted for it" in str(error)
    assert cache.store.tile_exists(imported(1))
    assert cache.store.tile_exists(onboard(0))
    assert EventKind.EVICTION_BATCH not in cache.kinds()


def test_a_sweep_ends_when_a_pin_that_came_meanwhile_leaves_too_little() -> None:
    cache = Cache.of(300, batch=1)
    for x in range(3):
        cache.write(imported(x))
    cache.rows.set_pinned(imported(1), True)  # the catalogue has not heard of it
    with pytest.raises(CacheBudgetExhaustedError) as refusal:
        cache.write(imported(3), size=300)
    assert refusal.value.evicted_tiles == 1
    assert [cache.store.tile_exists(imported(x)) for x in range(3)] == [False, True, True]


def test_a_store_that_is_over_its_budget_already_evicts_nothing_for_it() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    cache.rows.insert_metadata(metadata_of(imported(9), pixels_of(50)))  # by a process with a larger budget
    with pytest.raises(CacheBudgetExhaustedError, match="takes 50 bytes more than its budget of 300"):
        cache.write(imported(3))
    assert all(cache.store.tile_exists(imported(x)) for x in range(3))


def test_an_onboard_tile_never_evicts_the_map() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    with pytest.raises(OnboardRoomExhaustedError, match="the map never is") as refusal:
        cache.write(onboard(0))
    error = refusal.value
    assert (error.needed_bytes, error.budget_bytes, error.total_bytes) == (100, 300, 300)
    assert error.budget_is_full
    assert "budget.max_bytes" in str(error.remedy)
    assert all(cache.store.tile_exists(imported(x)) for x in range(3))
    assert EventKind.EVICTION_BATCH not in cache.kinds()


def test_onboard_tiles_have_a_share_and_evict_only_onboard_tiles_that_may_go() -> None:
    cache = Cache.of(1000, onboard_budget_bytes=250)
    cache.write(imported(0))
    for x in range(2):
        cache.write(onboard(x))
    with pytest.raises(OnboardRoomExhaustedError, match="200 of 250 bytes of their share") as refusal:
        cache.write(onboard(2))
    assert not refusal.value.budget_is_full
    assert "budget.onboard_share" in str(refusal.value.remedy)
    cache.vote(onboard(1), VotingStatus.REJECTED)
    cache.write(onboard(2))
    assert [cache.store.tile_exists(onboard(x)) for x in range(3)] == [True, False, True]
    assert cache.store.tile_exists(imported(0))
    with pytest.raises(OnboardRoomExhaustedError, match="the whole onboard share is 250 bytes"):
        cache.write(onboard(3), size=251)


def test_the_map_has_the_whole_budget_and_may_evict_onboard_tiles_that_may_go() -> None:
    cache = Cache.of(400, onboard_budget_bytes=100)
    cache.write(onboard(0))
    for x in range(3):
        cache.write(imported(x))
    cache.vote(onboard(0), VotingStatus.UPLOAD_GIVEUP)
    cache.write(imported(3))
    assert not cache.store.tile_exists(onboard(0))
    assert all(cache.store.tile_exists(imported(x)) for x in range(4))


def test_a_batch_of_both_kinds_keeps_both_limits() -> None:
    cache = Cache.of(600, onboard_budget_bytes=150)
    batch = [
        (p, metadata_of(t, p)) for x in range(3) for t in (onboard(x), imported(x)) for p in [pixels_of(100)]
    ]
    outcomes = cache.store.write_tiles(batch)
    stored = {outcome.tile_id for outcome in outcomes if outcome.stored is not None}
    assert stored == {onboard(0), *map(imported, range(3))}
    refused = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert all(isinstance(error, OnboardRoomExhaustedError) for error in refused)
    assert cache.rows.disk_usage() == disk_usage.DiskUsage(400, 400, 100)


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_duplicate_evicts_nothing_and_writes_no_byte(in_batch: bool) -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    pixels = pixels_of(250, seed=1)
    tile = (pixels, metadata_of(imported(2), pixels))
    if in_batch:
        (outcome,) = cache.store.write_tiles([tile])
        assert isinstance(outcome.error, DuplicateTileError)
    else:
        with pytest.raises(DuplicateTileError):
            cache.store.write_tile(*tile)
    assert all(cache.store.tile_exists(imported(x)) for x in range(3))
    assert EventKind.EVICTION_BATCH not in cache.kinds()
    assert [e.reason for e in cache.recorder.events if e.kind is EventKind.WRITE_FAILED] == ["insert"]


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_tile_that_only_the_catalogue_still_knows_is_no_duplicate(in_batch: bool) -> None:
    cache = Cache.of(300)
    cache.write(imported(0))
    with cache.rows.removing(imported(0)):
        pass  # by another process, of which this one has not heard
    pixels = pixels_of(100, seed=1)
    tile = (pixels, metadata_of(imported(0), pixels))
    if in_batch:
        (outcome,) = cache.store.write_tiles([tile])
        assert outcome.error is None
    else:
        cache.store.write_tile(*tile)
    assert cache.store.read_tile_bytes(imported(0)) == pixels


def test_the_evictions_of_a_while_are_counted_whole_and_listed_up_to_a_number() -> None:
    cache = Cache.of(15_000)
    for x in range(150):
        cache.write(imported(x))
    with cache.enforcer.tally_evictions() as tally:
        cache.write(imported(150), size=15_000)
    cache.write(imported(151), size=100)
    assert (tally.count, tally.freed_bytes) == (150, 15_000)
    assert tally.listed == [imported(x) for x in range(LISTED_EVICTIONS)]


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


@pytest.mark.parametrize("stored_tiles", [0, 1])
def test_an_interrupt_at_any_step_of_a_reservation_leaves_no_room_reserved(stored_tiles: int) -> None:
    for step in itertools.count(1):
        cache = Cache.of(100)
        for x in range(stored_tiles):
            cache.write(imported(x))

        def reserve(enforcer: CacheBudgetEnforcer = cache.enforcer) -> None:
            with enforcer.reserve_headroom(100):
                pass

        was_interrupted = interrupt_at(step, reserve, within=(disk_budget.__file__,))
        cache.enforcer.reserve_headroom(100).release()
        if not was_interrupted:
            assert step > 10
            return


def test_taken_room_does_not_look_free_before_the_lost_race_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    enforcer = Cache.of(100).enforcer
    reservation = enforcer.reserve_headroom(100)
    held: list[bool] = []
    monkeypatch.setattr(enforcer, "note_lost_race", lambda: held.append(reservation.is_held))
    reservation.release(was_taken=True)
    assert (held, reservation.is_held) == ([True], False)


def test_a_reservation_may_be_collected_while_the_room_is_counted() -> None:
    cache = Cache.of(100)
    held: list[Reservation] = []

    class Collecting(MemoryTileCatalogue):
        def footprint_bytes(self, *, onboard_only: bool = False) -> int:
            held.clear()
            return 0

    enforcer = CacheBudgetEnforcer(
        cache.store.delete_tile,
        Collecting(),
        committed_bytes=lambda: 0,
        budget_bytes=100,
        eviction_batch_size=1,
        recorder=cache.recorder,
    )
    held.append(enforcer.reserve_headroom(40))
    counting = threading.Thread(target=lambda: enforcer.reserve_headroom(50).release(), daemon=True)
    counting.start()
    counting.join(20)
    assert not counting.is_alive()
    enforcer.reserve_headroom(100).release()


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


def test_a_candidate_that_may_not_go_after_all_is_passed_over_and_not_listed_again() -> None:
    cache = Cache.of(300, batch=1)
    for x in range(3):
        cache.write(imported(x))
    for x in range(2):
        cache.rows.set_pinned(imported(x), True)
    cache.write(imported(3))
    assert [cache.store.tile_exists(imported(x)) for x in range(4)] == [True, True, False, True]
    assert [c.tile_id for c in cache.store.catalogue.lru_candidates(9)] == [imported(3)]


def test_what_was_listed_before_is_evicted_next_unless_it_was_read_or_pinned_since() -> None:
    cache = Cache.of(400, batch=4)
    for x in range(4):
        cache.write(imported(x))
    cache.write(imported(4))  # lists 0 to 3, evicts 0
    cache.store.catalogue.note_accesses([imported(1)], [microseconds_of(cache.clock.now()) + 1])
    cache.rows.set_pinned(imported(2), True)
    cache.store.apply_changes([TileChange(ChangeKind.CHANGED, imported(2))])
    cache.write(imported(5))
    assert [cache.store.tile_exists(imported(x)) for x in range(6)] == [False, True, True, False, True, True]
    cache.write(imported(6))
    assert [cache.store.tile_exists(imported(x)) for x in range(7)] == [
        *(False, True, True, False),
        *(False, True, True),
    ]


def test_a_pin_since_the_listing_holds_in_a_store_that_deletes_whatever_it_is_told() -> None:
    cache = Cache.of(300)
    enforcer = CacheBudgetEnforcer(
        cache.store.delete_tile,
        cache.store.catalogue,
        committed_bytes=cache.store.catalogue.footprint_bytes,
        budget_bytes=300,
        eviction_batch_size=3,
        recorder=cache.recorder,
    )
    for x in range(3):
        cache.write(imported(x))
    with enforcer.reserve_headroom(100):
        cache.rows.set_pinned(imported(1), True)
        cache.store.apply_changes([TileChange(ChangeKind.CHANGED, imported(1))])
        enforcer.reserve_headroom(100).release()
    assert [cache.store.tile_exists(imported(x)) for x in range(3)] == [False, True, False]


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(28, 120)),
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


def evictable_cases() -> Iterator[tuple[TileId, dict[str, object], bool]]:
    yield imported(0), {}, True
    yield imported(0), {"pinned": True}, False
    yield onboard(0), {}, False
    yield onboard(0), {"uploaded_at": NOW}, True
    yield onboard(0), {"uploaded_at": NOW, "pinned": True}, False
    yield onboard(0), {"voting_status": VotingStatus.TRUSTED}, False
    yield onboard(0), {"voting_status": VotingStatus.UPLOAD_GIVEUP}, True
    yield onboard(0), {"voting_status": VotingStatus.REJECTED}, True


@pytest.mark.parametrize(("tile_id", "facts", "expected"), list(evictable_cases()))
def test_what_may_be_evicted(tile_id: TileId, facts: dict[str, object], expected: bool) -> None:
    stored = TileMetadataPersistent.of(metadata_of(tile_id, pixels_of(40)), created_at=NOW)
    assert may_be_evicted(attrs.evolve(stored, **facts)) is expected
