"""The contract of `MappingCache`."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from uuid import UUID

import attrs
import pytest

from ...domain.ports.mapping_cache import MappingCache
from ...domain.ports.tile_files import TileFiles
from ...domain.values.pixels import TilePixelHandle
from ...domain.values.tiles import TileId, TileSource
from ..memory.example_jpeg import example_jpeg, example_metadata

SIZE = 1_000

TILES = [TileId(10, x, 5, TileSource.IMPORTED) for x in range(12)]

A, B, C, D = TILES[:4]

FLIGHTS = [UUID(int=7), UUID(int=7 << 64), UUID(int=7 << 64 | 7), UUID(int=8)]


def pixels_of(tile_id: TileId) -> bytes:
    name = str(tile_id).encode()
    return example_jpeg(name, SIZE)


@attrs.define
class MappingCacheSubject:
    """Files, and a mapping cache of their pixels."""

    files: TileFiles
    new: Callable[..., MappingCache]
    """Builds a cache from any of `max_count`, `max_bytes`, `flush_entries` and `when_full`.

    The defaults hold all tiles of a test.
    """
    mapping_cache: MappingCache = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.mapping_cache = self.new()
        for tile_id in TILES:
            self.write(tile_id)

    def write(self, tile_id: TileId) -> None:
        pixels = pixels_of(tile_id)
        metadata = example_metadata(
            tile_id, pixels, captured_at=datetime(2024, 5, 1, tzinfo=timezone.utc), ground_sample_distance=0.6
        )
        self.files.place(self.files.stage(pixels, metadata))

    def read(self, tile_id: TileId) -> TilePixelHandle:
        """Read a committed tile as a store does."""
        handle = self.mapping_cache.get(tile_id)
        if handle is not None:
            return handle
        ticket = self.mapping_cache.ticket(tile_id)
        return self.mapping_cache.put(tile_id, self.files.open(tile_id), ticket)

    def keep(self, *tile_ids: TileId) -> None:
        for tile_id in tile_ids:
            self.read(tile_id).close()

    def kept_tiles(self) -> set[TileId]:
        """The tiles in the cache; the query counts as a use of every one."""
        kept = set()
        for tile_id in TILES:
            handle = self.mapping_cache.get(tile_id)
            if handle is not None:
                handle.close()
                kept.add(tile_id)
        return kept


class MappingCacheContract:
    """Holds a cache over files whose handles it accepts."""

    @pytest.fixture
    def subject(self) -> MappingCacheSubject:
        """Empty files and the cache under test; the subclass closes both. Override it."""
        raise NotImplementedError

    def test_what_is_kept_is_found_until_it_is_dropped(self, subject: MappingCacheSubject) -> None:
        assert subject.mapping_cache.get(A) is None
        subject.keep(A, B)
        handle = subject.mapping_cache.get(A)
        assert handle is not None
        assert bytes(memoryview(handle)) == pixels_of(A)
        handle.close()
        subject.mapping_cache.invalidate(A)
        subject.mapping_cache.invalidate(A)
        assert subject.mapping_cache.get(A) is None
        assert subject.kept_tiles() == {B}

    def test_handles_stay_valid_whatever_happens_to_what_is_kept(self, subject: MappingCacheSubject) -> None:
        subject.mapping_cache = subject.new(max_count=1)
        first = subject.read(A)
        view = memoryview(first)
        dropped = subject.read(A)
        subject.keep(B)
        subject.mapping_cache.invalidate(A)
        subject.mapping_cache.release()
        subject.files.remove(A)
        kept = subject.read(B)
        subject.mapping_cache.close()
        subject.mapping_cache.release()
        assert view == bytes(memoryview(dropped)) == pixels_of(A)
        assert bytes(memoryview(kept)) == pixels_of(B)
        with pytest.raises(BufferError):
            first.close()
        view.release()
        for handle in (first, dropped, kept, first):
            handle.close()

    def test_tiles_that_differ_in_one_part_alone_are_kept_apart(self, subject: MappingCacheSubject) -> None:
        tile_ids = [
            TileId(10, 1, 1, TileSource.IMPORTED),
            TileId(10, 1, 1, TileSource.SATELLITE_PROVIDER),
            *[TileId(10, 1, 1, TileSource.ONBOARD, flight) for flight in FLIGHTS],
            TileId(10, 1, 2, TileSource.IMPORTED),
            TileId(10, 2, 1, TileSource.IMPORTED),
            TileId(11, 1, 1, TileSource.IMPORTED),
            TileId(0, 0, 0, TileSource.IMPORTED),
            TileId(22, 4194303, 4194303, TileSource.IMPORTED),
        ]
        for tile_id in tile_ids:
            subject.write(tile_id)
            subject.keep(tile_id)
        for tile_id in tile_ids:
            handle = subject.mapping_cache.get(tile_id)
            assert handle is not None
            assert bytes(memoryview(handle)) == pixels_of(tile_id)
            handle.close()
        equal = TileId(10, 1, 1, TileSource.ONBOARD, UUID(str(FLIGHTS[2])))
        subject.mapping_cache.invalidate(equal)
        assert subject.mapping_cache.get(tile_ids[4]) is None
        assert subject.mapping_cache.counts().kept == len(tile_ids) - 1

    def test_no_more_tiles_are_kept_than_the_bound_says(self, subject: MappingCacheSubject) -> None:
        subject.mapping_cache = subject.new(max_count=3)
        for tile_id in TILES:
            subject.keep(tile_id)
            assert subject.mapping_cache.counts().kept <= 3
        assert subject.mapping_cache.counts().evicted == len(TILES) - 3
        assert subject.mapping_cache.counts().kept_bytes == 3 * SIZE
        assert len(subject.kept_tiles()) == 3

    def test_no_more_bytes_are_kept_than_the_bound_says(self, subject: MappingCacheSubject) -> None:
        subject.mapping_cache = subject.new(max_bytes=3 * SIZE + 1)
        for tile_id in TILES:
            subject.keep(tile_id)
            assert subject.mapping_cache.counts().kept_bytes <= 3 * SIZE + 1
        assert subject.mapping_cache.counts().kept == 3

    def test_what_is_larger_than_the_bound_is_read_and_not_kept(self, subject: MappingCacheSubject) -> None:
        for bounds in ({"max_bytes": SIZE - 1}, {"max_count": 0}, {"max_bytes": 0}):
            subject.mapping_cache = subject.new(**bounds)
            with subject.read(A) as handle:
                assert bytes(memoryview(handle)) == pixels_of(A)
            assert subject.mapping_cache.get(A) is None
            assert subject.mapping_cache.drain_reads() == [A]

    def test_what_is_used_gets_a_second_chance(self, subject: MappingCacheSubject) -> None:
        subject.mapping_cache = subject.new(max_count=4)
        subject.keep(*TILES[:4])
        for tile_id in TILES[4:]:
            subject.keep(B)
            subject.keep(tile_id)
        assert B in subject.kept_tiles()

    def test_a_drop_makes_every_ticket_void_that_was_taken_before(self, subject: MappingCacheSubject) -> None:
        ticket = subject.mapping_cache.ticket(A)
        handle = subject.files.open(A)
        subject.mapping_cache.invalidate(A)
        with subject.mapping_cache.put(A, handle, ticket) as late:
            assert bytes(memoryview(late)) == pixels_of(A)
        assert subject.mapping_cache.get(A) is None
        subject.keep(A)
        assert subject.kept_tiles() == {A}

    def test_the_faster_of_two_first_readers_is_kept(self, subject: MappingCacheSubject) -> None:
        one, other = subject.files.open(A), subject.files.open(A)
        ticket = subject.mapping_cache.ticket(A)
        first = subject.mapping_cache.put(A, one, ticket)
        second = subject.mapping_cache.put(A, other, ticket)
        assert subject.mapping_cache.counts().kept == 1
        assert subject.mapping_cache.counts().kept_bytes == SIZE
        assert bytes(memoryview(first)) == bytes(memoryview(second)) == pixels_of(A)
        first.close()
        second.close()

    def test_reads_are_drained_in_their_order_each_time_anew(self, subject: MappingCacheSubject) -> None:
        subject.keep(A, B, C, A)
        subject.mapping_cache.note(D)
        subject.keep(B)
        assert subject.mapping_cache.drain_reads() == [C, A, D, B]
        assert subject.mapping_cache.drain_reads() == []
        subject.keep(C)
        assert subject.mapping_cache.drain_reads() == [C]

    def test_the_read_of_a_tile_that_was_evicted_since_is_drained_too(
        self, subject: MappingCacheSubject
    ) -> None:
        subject.mapping_cache = subject.new(max_count=1)
        subject.keep(A, B, C, A)
        drained = subject.mapping_cache.drain_reads()
        assert list(dict.fromkeys(reversed(drained))) == [A, C, B]

    def test_the_flusher_is_called_once_for_so_many_tiles(self, subject: MappingCacheSubject) -> None:
        called: list[bool] = []
        subject.mapping_cache = subject.new(flush_entries=3, when_full=lambda: called.append(True))
        subject.keep(A, A, B, B, A)
        assert called == []
        subject.keep(C, D)
        assert called == [True]
        subject.mapping_cache.drain_reads()
        subject.keep(A, B)
        assert called == [True]
        subject.keep(C)
        assert called == [True, True]

    def test_making_room_gives_some_tiles_up_and_goes_on(self, subject: MappingCacheSubject) -> None:
        subject.keep(*TILES)
        subject.mapping_cache.make_room()
        assert 0 < subject.mapping_cache.counts().kept < len(TILES)
        while subject.mapping_cache.counts().kept:
            subject.mapping_cache.make_room()
        subject.mapping_cache.make_room()
        subject.keep(A)
        assert subject.kept_tiles() == {A}

    def test_nothing_is_kept_after_close_and_reads_go_on(self, subject: MappingCacheSubject) -> None:
        subject.keep(A)
        subject.mapping_cache.close()
        subject.mapping_cache.close()
        assert subject.mapping_cache.get(A) is None
        with subject.read(A) as handle:
            assert bytes(memoryview(handle)) == pixels_of(A)
        assert subject.mapping_cache.counts().kept == 0
        subject.mapping_cache.invalidate(A)
        assert subject.mapping_cache.release() == 0

    def test_hits_and_misses_are_counted(self, subject: MappingCacheSubject) -> None:
        subject.keep(A, A, B, A)
        counts = subject.mapping_cache.counts()
        assert (counts.hits, counts.misses, counts.kept, counts.kept_bytes) == (2, 2, 2, 2 * SIZE)

    @pytest.mark.parametrize("max_count", [1, 2, 3, 5, 8])
    def test_any_sequence_of_reads_and_drops_agrees_with_a_set(
        self, subject: MappingCacheSubject, max_count: int
    ) -> None:
        subject.mapping_cache = subject.new(max_count=max_count)
        choice = random.Random(max_count)
        may_be_kept: set[TileId] = set()
        for _ in range(3_000):
            tile_id = choice.choice(TILES)
            if choice.random() < 0.2:
                subject.mapping_cache.invalidate(tile_id)
                may_be_kept.discard(tile_id)
                continue
            handle = subject.mapping_cache.get(tile_id)
            assert handle is None or tile_id in may_be_kept
            if handle is None:
                handle = subject.read(tile_id)
                may_be_kept.add(tile_id)
                again = subject.mapping_cache.get(tile_id)
                assert again is not None
                again.close()
            assert bytes(memoryview(handle)) == pixels_of(tile_id)
            handle.close()
            assert subject.mapping_cache.counts().kept <= min(max_count, len(may_be_kept))
        subject.mapping_cache.release()

    def test_readers_droppers_and_a_releaser_at_once_never_see_a_wrong_byte(
        self, subject: MappingCacheSubject
    ) -> None:
        subject.mapping_cache = subject.new(max_count=3, flush_entries=5, when_full=lambda: None)
        contents = {tile_id: pixels_of(tile_id) for tile_id in TILES}
        done = threading.Event()

        def tidy() -> None:
            while not done.wait(0.001):
                subject.mapping_cache.release()
                subject.mapping_cache.drain_reads()
                subject.mapping_cache.counts()

        def work(seed: int) -> None:
            choice = random.Random(seed)
            held: list[tuple[TileId, TilePixelHandle]] = []
            for _ in range(2_000):
                tile_id = choice.choice(TILES)
                if choice.random() < 0.1:
                    subject.mapping_cache.invalidate(tile_id)
                if choice.random() < 0.01:
                    subject.mapping_cache.make_room()
                held.append((tile_id, subject.read(tile_id)))
                if len(held) > choice.randrange(6):
                    old_id, old = held.pop(choice.randrange(len(held)))
                    assert bytes(memoryview(old)) == contents[old_id]
                    old.close()
            for _, handle in held:
                handle.close()

        with ThreadPoolExecutor(7) as threads:
            tidying = threads.submit(tidy)
            try:
                for _ in threads.map(work, range(6)):
                    pass
            finally:
                done.set()
            tidying.result()
        assert subject.mapping_cache.counts().kept <= 3
