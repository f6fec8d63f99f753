"""The contract of a tile feed: stores over the same rows and files soon know the same tiles."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Protocol

import attrs
import pytest

from ...domain.errors import DuplicateTileError, TileNotFoundError
from ...domain.policies.freshness import FreshnessDecision
from ...domain.ports.mapping_cache import MappingCache
from ...domain.ports.tile_catalogue import TileCatalogue, TileChangeListener
from ...domain.ports.tile_files import TileFiles
from ...domain.ports.tile_rows import TileRows
from ...domain.store.catalogue_sync import CatalogueSync
from ...domain.store.tile_store import FileBackedTileStore
from ...domain.values.tiles import TileId, TileMetadata, TileSource
from ...domain.values.timestamps import microseconds_of
from ..memory.clock import ManualClock
from ..memory.example_jpeg import example_jpeg, example_metadata
from ..memory.flight_recorder import MemoryFlightRecorder
from ..memory.store_parts import small_store_parts

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)

A = TileId(10, 3, 4, TileSource.IMPORTED)


class TileFeed(Protocol):
    """The feed of one store."""

    def follow(self, follower: TileChangeListener) -> None: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


def jpeg(seed: int) -> bytes:
    return example_jpeg(seed.to_bytes(4, "big") + bytes(20))


def described(tile_id: TileId, pixels: bytes) -> TileMetadata:
    return example_metadata(tile_id, pixels, captured_at=NOW)


@attrs.define
class TileFeedSubject:
    """Rows and files that several stores share. Each store has a feed of its own."""

    rows: TileRows
    files: TileFiles
    set_pinned: Callable[[TileId, bool], None]
    listen: Callable[[], TileFeed]
    new_catalogue: Callable[[], TileCatalogue]
    new_mapping_cache: Callable[[], MappingCache]
    feeds: list[TileFeed] = attrs.field(factory=list)

    def open(self, rows: TileRows | None = None) -> FileBackedTileStore:
        clock, recorder = ManualClock(NOW), MemoryFlightRecorder()
        feed = self.listen()
        self.feeds.append(feed)
        rows = rows or self.rows
        catalogue, mapping_cache = self.new_catalogue(), self.new_mapping_cache()
        sync = CatalogueSync(rows, self.files, catalogue, mapping_cache, when_unsettled=feed.wake)
        store = FileBackedTileStore(
            small_store_parts(rows, self.files, clock=clock, recorder=recorder, sync=sync)
        )
        feed.follow(store)
        return store

    def known(self, store: FileBackedTileStore) -> dict[TileId, tuple[str, int, bool]]:
        """Hash, size and pin of each tile that a store knows."""
        tile_ids = [*store.catalogue.query_by_bbox(A.bbox, 10).tile_ids(), *TILES]
        entries = {tile_id: store.catalogue.get(tile_id) for tile_id in tile_ids}
        return {t: (e.content_sha256, e.disk_bytes, e.pinned) for t, e in entries.items() if e is not None}

    def agrees(self, store: FileBackedTileStore) -> bool:
        """Whether a store knows exactly the committed tiles."""
        committed = self.committed()
        total = sum(disk_bytes for _, disk_bytes, _ in committed.values())
        counts = len(store), store.catalogue.total_disk_bytes()
        return self.known(store) == committed and counts == (len(committed), total)

    def committed(self) -> dict[TileId, tuple[str, int, bool]]:
        return {r.tile_id: (r.content_sha256, r.disk_bytes, r.pinned) for r in self.rows.committed()}


TILES = [TileId(12, x, 7, TileSource.IMPORTED) for x in range(12)]


def until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Wait until `condition` holds; fail the test when it does not within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the stores do not know the same tiles"
        time.sleep(0.01)


class _CountedRows:
    """Rows that note the tiles of every query."""

    def __init__(self, inner: TileRows) -> None:
        self._inner = inner
        self.asked: list[TileId] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def committed_among(self, tile_ids: list[TileId]) -> object:
        self.asked.extend(tile_ids)
        return self._inner.committed_among(tile_ids)


def change_at_random(store: FileBackedTileStore, seed: int, changes: int = 150) -> None:
    """Write, delete and evict a few tiles again and again, each as the store knows it."""
    chance = random.Random(seed)
    for number in range(changes):
        tile_id = chance.choice(TILES)
        pixels = jpeg(1000 * seed + number)
        try:
            if not store.tile_exists(tile_id):
                if chance.random() < 0.3:
                    store.write_tiles([(pixels, described(tile_id, pixels))])
                else:
                    store.write_tile(pixels, described(tile_id, pixels))
            elif chance.random() < 0.5:
                store.delete_tile(tile_id)
            else:
                store.evict_tile(tile_id)
        except (DuplicateTileError, TileNotFoundError):
            continue  # another store was first


class TileFeedContract:
    """Holds feeds of one pair of rows and files."""

    @pytest.fixture
    def site(self) -> TileFeedSubject:
        """Rows and files without tiles, and their feeds; the subclass closes the feeds. Override it."""
        raise NotImplementedError

    def test_what_one_store_writes_deletes_and_writes_again_the_other_reads(
        self, site: TileFeedSubject
    ) -> None:
        one, other = site.open(), site.open()
        first, second = jpeg(1), jpeg(2)
        one.write_tile(first, described(A, first))
        until(lambda: other.tile_exists(A))
        with other.read_tile_pixels(A) as handle:
            assert bytes(memoryview(handle)) == first
        one.delete_tile(A)
        until(lambda: not other.tile_exists(A))
        with pytest.raises(TileNotFoundError):
            other.read_tile_pixels(A)
        one.write_tile(second, described(A, second))
        until(lambda: other.tile_exists(A))
        with other.read_tile_pixels(A) as handle:
            assert bytes(memoryview(handle)) == second

    def test_content_that_was_replaced_unread_is_known_by_its_new_hash_and_read_anew(
        self, site: TileFeedSubject
    ) -> None:
        one, other = site.open(), site.open()
        first, second = jpeg(1), jpeg(2)
        other.write_tile(first, described(A, first))
        other.read_tile_pixels(A).close()
        until(lambda: one.tile_exists(A))
        one.delete_tile(A)
        one.write_tile(second, described(A, second))
        until(lambda: site.agrees(other))
        with other.read_tile_pixels(A) as handle:
            assert bytes(memoryview(handle)) == second

    def test_a_reload_leaves_no_pixels_of_what_was_replaced_or_deleted_unheard(
        self, site: TileFeedSubject
    ) -> None:
        one, other = site.open(), site.open()
        first, second = jpeg(1), jpeg(2)
        for tile_id in (A, TILES[0]):
            other.write_tile(first, described(tile_id, first))
            other.read_tile_pixels(tile_id).close()
            until(lambda tile_id=tile_id: one.tile_exists(tile_id))  # type: ignore[misc] # bound in the loop
        site.feeds[1].close()
        one.delete_tile(A)
        one.write_tile(second, described(A, second))
        one.delete_tile(TILES[0])
        other.reload()
        with other.read_tile_pixels(A) as handle:
            assert bytes(memoryview(handle)) == second
        with pytest.raises(TileNotFoundError):
            other.read_tile_pixels(TILES[0])

    def test_a_batch_is_heard_of_as_a_whole(self, site: TileFeedSubject) -> None:
        one, other = site.open(), site.open()
        tiles = [TileId(12, x, 9, TileSource.IMPORTED) for x in range(600)]
        pixels = jpeg(1)
        one.write_tiles([(pixels, described(tile_id, pixels)) for tile_id in tiles])
        until(lambda: len(other) == 600)
        assert all(other.tile_exists(tile_id) for tile_id in tiles)
        assert other.catalogue.total_disk_bytes() == 600 * len(pixels)

    def test_a_pin_is_heard_of_and_keeps_the_tile_from_being_listed(self, site: TileFeedSubject) -> None:
        one, other, pixels = site.open(), site.open(), jpeg(1)
        one.write_tile(pixels, described(A, pixels))
        until(lambda: other.tile_exists(A))
        site.set_pinned(A, True)
        for store in (one, other):
            until(lambda store=store: store.catalogue.lru_candidates(1) == [])  # type: ignore[misc] # bound in the loop
        site.set_pinned(A, False)
        for store in (one, other):
            until(lambda store=store: len(store.catalogue.lru_candidates(1)) == 1)  # type: ignore[misc] # bound in the loop

    def test_an_amended_capture_date_is_heard_of(self, site: TileFeedSubject) -> None:
        one, other, pixels = site.open(), site.open(), jpeg(1)
        one.write_tile(pixels, described(A, pixels))
        until(lambda: other.tile_exists(A))
        right = NOW - timedelta(days=500)
        one.amend_capture_time(A, right)
        until(lambda: other.catalogue.captured_us(A) == microseconds_of(right))
        verdict = other.verdict(A)
        assert verdict is not None
        assert verdict.decision is FreshnessDecision.DOWNGRADE

    def test_newer_imagery_in_a_tile_s_place_is_heard_of_and_read(self, site: TileFeedSubject) -> None:
        one, other = site.open(), site.open()
        versions = [jpeg(number) for number in range(5)]

        def facts(number: int) -> TileMetadata:
            captured_at = NOW - timedelta(hours=9 - number)
            return attrs.evolve(described(A, versions[number]), captured_at=captured_at)

        one.write_tile(versions[0], facts(0))
        until(lambda: other.tile_exists(A))
        for number in range(1, 5):
            with other.read_tile_pixels(A) as before:
                assert bytes(memoryview(before)) == versions[number - 1]
            one.replace_tile(versions[number], facts(number))
            with one.read_tile_pixels(A) as own:
                assert bytes(memoryview(own)) == versions[number]
            until(lambda: site.agrees(other))
            with other.read_tile_pixels(A) as after:
                assert bytes(memoryview(after)) == versions[number]

    def test_a_reload_reads_newer_imagery_that_was_not_heard_of(self, site: TileFeedSubject) -> None:
        one, other = site.open(), site.open()
        old, new = jpeg(1), jpeg(2)
        one.write_tile(old, attrs.evolve(described(A, old), captured_at=NOW - timedelta(days=1)))
        until(lambda: other.tile_exists(A))
        other.read_tile_pixels(A).close()
        site.feeds[1].close()
        one.replace_tile(new, described(A, new))
        other.reload()
        with other.read_tile_pixels(A) as handle:
            assert bytes(memoryview(handle)) == new
        assert site.known(other) == site.committed()

    def test_what_a_store_does_itself_costs_it_no_question(self, site: TileFeedSubject) -> None:
        rows = _CountedRows(site.rows)
        store, other, pixels = site.open(rows), site.open(), jpeg(1)  # type: ignore[arg-type] # delegates the rest
        last = TileId(10, 3, 5, TileSource.IMPORTED)
        store.write_tiles([(pixels, described(tile_id, pixels)) for tile_id in (A, last)])
        for tile_id in TILES:
            store.write_tile(pixels, described(tile_id, pixels))
        until(lambda: other.tile_exists(A))
        other.delete_tile(A)
        until(lambda: not store.tile_exists(A))  # so every earlier commit has arrived
        for tile_id in TILES:
            store.delete_tile(tile_id)
        until(lambda: other.tile_exists(last))
        other.delete_tile(last)
        until(lambda: not store.tile_exists(last))
        assert rows.asked == [A, last]

    def test_what_happened_between_listening_and_loading_is_not_missed(self, site: TileFeedSubject) -> None:
        other, pixels = site.open(), jpeg(1)
        listen = site.listen

        class Late:
            """A feed whose store opens while another store writes."""

            def __init__(self) -> None:
                self.inner = listen()

            def wake(self) -> None:
                self.inner.wake()

            def follow(self, follower: TileChangeListener) -> None:
                other.write_tile(pixels, described(A, pixels))
                self.inner.follow(follower)

            def close(self) -> None:
                self.inner.close()

        site.listen = Late
        store = site.open()
        until(lambda: store.tile_exists(A))

    def test_a_reload_beside_writers_loses_nothing(self, site: TileFeedSubject) -> None:
        one, other = site.open(), site.open()
        over = threading.Event()

        def reload() -> None:
            while not over.is_set():
                other.reload()

        reloading = threading.Thread(target=reload)
        reloading.start()
        change_at_random(one, seed=1)
        change_at_random(other, seed=2)
        over.set()
        reloading.join()
        for store in (one, other):
            until(lambda store=store: site.agrees(store))  # type: ignore[misc] # bound in the loop

    def test_stores_that_change_the_same_tiles_at_once_all_end_as_the_rows_are(
        self, site: TileFeedSubject
    ) -> None:
        stores = [site.open() for _ in range(3)]
        writers = [
            threading.Thread(target=change_at_random, args=(stores[number % 3], number))
            for number in range(6)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        for store in stores:
            until(lambda store=store: site.agrees(store))  # type: ignore[misc] # bound in the loop
