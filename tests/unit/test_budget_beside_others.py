"""The disk budget beside other processes and threads, which take room and free it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from budgeted_cache import NOW, Cache, imported, metadata_of, onboard, pixels_of

from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.errors import DuplicateTileError, HeadroomTakenError
from aerotile.domain.flight_events import EventKind
from aerotile.domain.store.disk_budget import CacheBudgetEnforcer
from aerotile.domain.store.write_tile import MAX_LOST_RACES
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent

pytestmark = pytest.mark.usefixtures("blocks_of_one_byte")


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
    refused = 0
    """How many commits were refused because it had taken the room."""

    def add(self, inserted: Mapping[TileId, TileMetadataPersistent]) -> None:
        free = (self.disk_budget_bytes or 0) - self.total_disk_bytes()
        if self.greed and free >= 100:
            self.greed -= 1
            stranger = TileMetadataPersistent.of(
                metadata_of(imported(200 + self.greed), pixels_of(100)), created_at=NOW
            )
            super().add({stranger.tile_id: stranger})
        try:
            super().add(inserted)
        except HeadroomTakenError:
            self.refused += 1
            raise


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


def outcomes_of(cache: Cache) -> list[tuple[EventKind, Any]]:
    """What was recorded of writes, with the step of a failed one."""
    kinds = (EventKind.WRITE, EventKind.WRITE_FAILED)
    return [(e.kind, e.payload.get("step")) for e in cache.recorder.events if e.kind in kinds]


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_write_that_is_stored_after_lost_races_is_recorded_once_as_stored(in_batch: bool) -> None:
    rows = GreedyRows(disk_budget_bytes=1_040)
    cache = Cache.of(1_040, rows=rows)
    for x in range(8):
        cache.write(imported(x))
    rows.greed, before = 2, len(outcomes_of(cache))
    batch = [(p, metadata_of(imported(90 + n), p)) for n in range(2) for p in [pixels_of(100)]]
    if in_batch:
        known = (pixels_of(40), metadata_of(imported(7), pixels_of(40)))
        errors = [type(outcome.error) for outcome in cache.store.write_tiles([*batch, known])]
        assert errors == [type(None), type(None), DuplicateTileError]
        assert sorted(outcomes_of(cache)[before:]) == [
            (EventKind.WRITE, None),
            (EventKind.WRITE, None),
            (EventKind.WRITE_FAILED, "insert"),
        ]
    else:
        cache.store.write_tile(*batch[0])
        cache.store.write_tile(*batch[1])
        assert outcomes_of(cache)[before:] == [(EventKind.WRITE, None)] * 2
    assert rows.refused > 0


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_write_that_loses_every_race_is_recorded_once_as_failed(
    in_batch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache.of(1_000)
    attempts: list[TileId] = []

    def refuse(inserted: Mapping[TileId, TileMetadataPersistent]) -> None:
        attempts.extend(inserted)
        raise HeadroomTakenError(100, 1_000, 1_000)

    monkeypatch.setattr(cache.rows, "add", refuse)
    pixels = pixels_of(100)
    tile = (pixels, metadata_of(imported(1), pixels))
    if in_batch:
        (outcome,) = cache.store.write_tiles([tile])
        assert isinstance(outcome.error, HeadroomTakenError)
    else:
        with pytest.raises(HeadroomTakenError):
            cache.store.write_tile(*tile)
    assert len(attempts) == 1 + MAX_LOST_RACES
    assert outcomes_of(cache) == [(EventKind.WRITE_FAILED, "disk_budget" if in_batch else "commit")]
    assert not cache.store.tile_exists(imported(1))
    with cache.enforcer.reserve_headroom(1_000):
        pass  # no room is still reserved


def test_what_only_the_database_counts_is_remembered_so_that_no_more_races_are_lost() -> None:
    rows = GreedyRows(disk_budget_bytes=300)
    cache = Cache.of(300, rows=rows)
    other_writes(cache, onboard(9), 150)
    for x in range(6):
        cache.write(imported(x))
    assert rows.refused == 1
    assert cache.rows.total_disk_bytes() == 250


def test_room_that_another_process_freed_is_used_before_anything_is_evicted() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    with cache.rows.removing(imported(2)):
        pass
    cache.write(imported(3))
    assert cache.store.tile_exists(imported(0))
    assert EventKind.EVICTION_BATCH not in cache.kinds()


def test_room_that_a_sweep_frees_is_not_taken_by_a_write_that_came_later() -> None:
    cache = Cache.of(300)
    for x in range(3):
        cache.write(imported(x))
    waited: list[bool] = []

    def evict_watched(tile_id: TileId) -> int:
        freed = cache.store.evict_tile(tile_id)
        if not waited:
            later.start()
            # Not a timing assertion: a write that does not wait is done long before.
            later.join(0.2)
            waited.append(later.is_alive())
        return freed

    enforcer = CacheBudgetEnforcer(
        evict_watched,
        cache.store.catalogue,
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
