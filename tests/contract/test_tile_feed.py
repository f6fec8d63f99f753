"""What every feed holds: two stores over the same rows and files know the same tiles, a moment later."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol, cast

import attrs
import pytest
from waiting import until

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.mapping_cache import MemoryMappingCache
from aerotile.adapters.memory.sector_index import MemorySectorIndex
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.adapters.memory.tile_feed import MemoryTileFeed
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.errors import DuplicateTileError, TileNotFoundError
from aerotile.domain.ports.mapping_cache import MappingCache
from aerotile.domain.ports.tile_catalogue import TileCatalogue, TileChangeListener
from aerotile.domain.ports.tile_files import TileFiles
from aerotile.domain.ports.tile_rows import TileRows
from aerotile.domain.store.freshness_gate import FreshnessGate
from aerotile.domain.store.tile_store import FileBackedTileStore
from aerotile.domain.values.sectors import SEEDED_RULES, SectorClassification
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
A = TileId(10, 3, 4, TileSource.IMPORTED)


class Feed(Protocol):
    def follow(self, follower: TileChangeListener) -> None: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


class Pins(Protocol):
    def set_pinned(self, tile_id: TileId, pinned: bool) -> None: ...


def jpeg(seed: int) -> bytes:
    return b"\xff\xd8\xff" + seed.to_bytes(4, "big") + bytes(20) + b"\xff\xd9"


def described(tile_id: TileId, pixels: bytes) -> TileMetadata:
    return TileMetadata(
        tile_id=tile_id,
        captured_at=NOW,
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=1.0,
    )


@attrs.define
class Site:
    """Rows and files that several stores share, each with a feed of its own."""

    rows: TileRows
    files: TileFiles
    pins: Pins
    listen: Callable[[], Feed]
    new_catalogue: Callable[[], TileCatalogue]
    new_kept: Callable[[], MappingCache]
    feeds: list[Feed] = attrs.field(factory=list)

    def open(self, rows: TileRows | None = None) -> FileBackedTileStore:
        clock, recorder = ManualClock(NOW), MemoryFlightRecorder()
        gate = FreshnessGate(
            [],
            SEEDED_RULES,
            sector_index=MemorySectorIndex([]),
            default_classification=SectorClassification.STABLE_REAR,
            clock=clock,
            recorder=recorder,
        )
        feed = self.listen()
        self.feeds.append(feed)
        store = FileBackedTileStore(
            rows or self.rows,
            self.files,
            catalogue=self.new_catalogue(),
            gate=gate,
            clock=clock,
            recorder=recorder,
            mapping_cache=self.new_kept(),
            when_in_doubt=feed.wake,
        )
        feed.follow(store)
        return store

    def known(self, store: FileBackedTileStore) -> dict[TileId, tuple[str, int, bool]]:
        """What a store knows of each tile that it holds."""
        tile_ids = [*store.catalogue.query_by_bbox(A.bbox, 10).tile_ids(), *TILES]
        entries = {tile_id: store.catalogue.get(tile_id) for tile_id in tile_ids}
        return {t: (e.content_sha256, e.disk_bytes, e.pinned) for t, e in entries.items() if e is not None}

    def agrees(self, store: FileBackedTileStore) -> bool:
        """Whether a store knows exactly what is committed."""
        committed = self.committed()
        total = sum(disk_bytes for _, disk_bytes, _ in committed.values())
        counts = len(store), store.catalogue.total_disk_bytes()
        return self.known(store) == committed and counts == (len(committed), total)

    def committed(self) -> dict[TileId, tuple[str, int, bool]]:
        return {r.tile_id: (r.content_sha256, r.disk_bytes, r.pinned) for r in self.rows.committed()}


TILES = [TileId(12, x, 7, TileSource.IMPORTED) for x in range(12)]


@pytest.fixture(params=["memory", "postgres and files"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "memory":
        memory = MemoryTileRows()
        site = Site(
            memory,
            MemoryTileFiles(),
            memory,
            lambda: MemoryTileFeed(memory),
            MemoryTileCatalogue,
            MemoryMappingCache,
        )
        yield site
        for feed in site.feeds:
            feed.close()
        return
    from aerotile.adapters.filesystem import FilesystemTileFiles
    from aerotile.adapters.postgres.connection import Database
    from aerotile.adapters.postgres.tile_feed import TileFeed
    from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
    from aerotile.adapters.postgres.tile_rows import PostgresTileRows
    from aerotile.ext import CompiledMappingCache, CompiledTileCatalogue

    database = Database(request.getfixturevalue("migrated_database"))
    files = FilesystemTileFiles(tmp_path / "tiles")
    site = Site(
        PostgresTileRows(database),
        files,
        PostgresTileMetadataStore(database),
        lambda: TileFeed(database),
        CompiledTileCatalogue,
        lambda: cast(MappingCache, CompiledMappingCache(max_count=8, max_bytes=1 << 20)),
    )
    yield site
    for feed in site.feeds:
        feed.close()
    files.close()
    database.close()


def test_what_one_store_writes_deletes_and_writes_again_the_other_reads(site: Site) -> None:
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


def test_content_that_was_replaced_unread_is_known_by_its_new_hash_and_read_anew(site: Site) -> None:
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


def test_a_reload_leaves_no_pixels_of_what_was_replaced_or_deleted_unheard(site: Site) -> None:
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


def test_a_batch_is_heard_of_as_a_whole(site: Site) -> None:
    one, other = site.open(), site.open()
    tiles = [TileId(12, x, 9, TileSource.IMPORTED) for x in range(600)]
    pixels = jpeg(1)
    one.write_tiles([(pixels, described(tile_id, pixels)) for tile_id in tiles])
    until(lambda: len(other) == 600)
    assert all(other.tile_exists(tile_id) for tile_id in tiles)
    assert other.catalogue.total_disk_bytes() == 600 * len(pixels)


def test_a_pin_is_heard_of_and_keeps_the_tile_from_being_listed(site: Site) -> None:
    one, other, pixels = site.open(), site.open(), jpeg(1)
    one.write_tile(pixels, described(A, pixels))
    until(lambda: other.tile_exists(A))
    site.pins.set_pinned(A, True)
    for store in (one, other):
        until(lambda store=store: store.catalogue.lru_candidates(1) == [])  # type: ignore[misc] # bound in the loop
    site.pins.set_pinned(A, False)
    for store in (one, other):
        until(lambda store=store: len(store.catalogue.lru_candidates(1)) == 1)  # type: ignore[misc] # bound in the loop


class _CountedRows:
    """Real rows that remember which tiles they were asked about."""

    def __init__(self, inner: TileRows) -> None:
        self._inner = inner
        self.asked: list[TileId] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def committed_among(self, tile_ids: list[TileId]) -> object:
        self.asked.extend(tile_ids)
        return self._inner.committed_among(tile_ids)


def test_what_a_store_does_itself_costs_it_no_question(site: Site) -> None:
    rows = _CountedRows(site.rows)
    store, other, pixels = site.open(rows), site.open(), jpeg(1)  # type: ignore[arg-type] # delegates the rest
    last = TileId(10, 3, 5, TileSource.IMPORTED)
    store.write_tiles([(pixels, described(tile_id, pixels)) for tile_id in (A, last)])
    for tile_id in TILES:
        store.write_tile(pixels, described(tile_id, pixels))
    until(lambda: other.tile_exists(A))
    other.delete_tile(A)
    until(lambda: not store.tile_exists(A))  # so all that came before has been heard
    for tile_id in TILES:
        store.delete_tile(tile_id)
    until(lambda: other.tile_exists(last))
    other.delete_tile(last)
    until(lambda: not store.tile_exists(last))
    assert rows.asked == [A, last]


def test_what_happened_between_listening_and_loading_is_not_missed(site: Site) -> None:
    other, pixels = site.open(), jpeg(1)
    listen = site.listen

    class Late:
        """A feed whose store opens while others write."""

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


def test_a_reload_beside_writers_loses_nothing(site: Site) -> None:
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


def change_at_random(store: FileBackedTileStore, seed: int, changes: int = 150) -> None:
    """Write, delete and evict a few tiles again and again, as the store's knowledge has it."""
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
            continue  # the other was first


def test_stores_that_change_the_same_tiles_at_once_all_end_as_the_rows_are(site: Site) -> None:
    stores = [site.open() for _ in range(3)]
    writers = [
        threading.Thread(target=change_at_random, args=(stores[number % 3], number)) for number in range(6)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    for store in stores:
        until(lambda store=store: site.agrees(store))  # type: ignore[misc] # bound in the loop
