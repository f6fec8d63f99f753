"""The disk budget beside other processes and threads, which take room and free it."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
from budgeted_cache import NOW, Cache, OneByOneStore, imported, metadata_of, onboard, pixels_of

from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.flight_events import Kind
from aerotile.domain.store.disk_budget import CacheBudgetEnforcer
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent


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
