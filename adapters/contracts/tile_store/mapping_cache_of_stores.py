"""The mapping cache of a store, beside writers and removals."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
from hypothesis import settings

from ....domain.errors import TileNotFoundError
from ....domain.ports.mapping_cache import MappingCache
from ....domain.ports.tile_files import TileFiles
from ....domain.values.pixels import TilePixelHandle
from ....domain.values.tiles import TileId, TileSource
from .subject import IN_REAR, OfTileStore, TileStoreSubject, described, jpeg


class _OvertakenFiles:
    """Real files; between the opening of a tile and its keeping something else happens."""

    def __init__(self, inner: TileFiles) -> None:
        self._inner = inner
        self.meanwhile: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._inner, name)
        return method

    def fast_reader(self, *parts: object, **ways: object) -> None:
        """Python reads these files step by step, so that a test can act between two steps."""

    def open(self, tile_id: TileId, timeout_s: float | None = None) -> TilePixelHandle:
        handle = self._inner.open(tile_id, timeout_s)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return handle


@attrs.frozen
class _Observed:
    """A mapping cache of which a test watches the invalidations."""

    inner: MappingCache
    invalidate: Callable[[TileId], None]

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self.inner, name)
        return method


class MappingCacheOfStores(OfTileStore):
    """The mapping cache of a store, beside writers and removals."""

    def test_a_second_read_of_a_tile_opens_no_file(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels))
        first = store.read_tile_pixels(IN_REAR)
        subject.files.remove(IN_REAR)
        second = store.read_tile_pixels(IN_REAR)
        first.close()
        assert bytes(memoryview(second)) == pixels
        second.close()
        second.close()
        assert (subject.mapping_cache.counts().hits, subject.mapping_cache.counts().misses) == (1, 1)

    def test_a_handle_outlives_what_is_kept(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels))
        handle = store.read_tile_pixels(IN_REAR)
        subject.mapping_cache.invalidate(IN_REAR)
        subject.mapping_cache.release()
        again = store.read_tile_pixels(IN_REAR)
        subject.mapping_cache.close()
        subject.mapping_cache.release()
        assert bytes(memoryview(handle)) == bytes(memoryview(again)) == pixels
        handle.close()
        again.close()
        with store.read_tile_pixels(IN_REAR) as late:
            assert bytes(memoryview(late)) == pixels
        assert subject.mapping_cache.counts().kept == 0

    def test_a_tile_deleted_while_it_is_being_opened_is_not_kept(self, subject: TileStoreSubject) -> None:
        files = _OvertakenFiles(subject.files)
        store, pixels = subject.open(files), jpeg(1)  # type: ignore[arg-type] # delegates the rest
        store.write_tile(pixels, described(pixels))
        files.meanwhile = lambda: store.delete_tile(IN_REAR)
        handle = store.read_tile_pixels(IN_REAR)
        assert bytes(memoryview(handle)) == pixels
        handle.close()
        assert subject.mapping_cache.counts().kept == 0
        with pytest.raises(TileNotFoundError):
            store.read_tile_pixels(IN_REAR)

    @pytest.mark.parametrize("verify_hash", [False, True])
    def test_a_tile_replaced_while_it_is_being_opened_is_read_anew(
        self, subject: TileStoreSubject, verify_hash: bool
    ) -> None:
        files = _OvertakenFiles(subject.files)
        store, old, new = subject.open(files, verify_hash), jpeg(1), jpeg(2)  # type: ignore[arg-type] # as above
        store.write_tile(old, described(old))

        def replace() -> None:
            store.delete_tile(IN_REAR)
            store.write_tile(new, described(new))

        files.meanwhile = replace
        with store.read_tile_pixels(IN_REAR) as handle:
            assert bytes(memoryview(handle)) == (new if verify_hash else old)
        with store.read_tile_pixels(IN_REAR) as handle:
            assert bytes(memoryview(handle)) == new

    def test_the_catalogue_forgets_a_tile_before_its_pixels_are_dropped(
        self, subject: TileStoreSubject
    ) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels))
        store.read_tile_pixels(IN_REAR).close()
        seen: list[bool] = []

        def invalidate(tile_id: TileId, inner: Callable[[TileId], None]) -> None:
            seen.append(store.tile_exists(tile_id))
            inner(tile_id)

        kept = subject.mapping_cache
        observed = _Observed(kept, lambda tile_id: invalidate(tile_id, kept.invalidate))
        store._sync.mapping_cache = observed  # type: ignore[assignment] # delegates the rest
        store.delete_tile(IN_REAR)
        assert seen == [False]
        assert kept.get(IN_REAR) is None

    def test_owners_see_their_own_writes_and_deletions_at_once_beside_many_readers(
        self, subject: TileStoreSubject
    ) -> None:
        subject.new_kept_bounds = {"max_count": 2}
        store = subject.open()
        tile_ids = [TileId(10, x, 7, TileSource.IMPORTED) for x in range(4)]
        done = threading.Event()

        def own(number: int) -> None:
            for version in range(max(1, settings().max_examples // 4)):
                pixels = jpeg(number * 1_000 + version, 5_000)
                store.write_tile(pixels, described(pixels, tile_ids[number]))
                for _ in range(3):
                    with store.read_tile_pixels(tile_ids[number]) as handle:
                        assert bytes(memoryview(handle)) == pixels
                store.delete_tile(tile_ids[number])
                for _ in range(3):
                    with pytest.raises(TileNotFoundError):
                        store.read_tile_pixels(tile_ids[number])

        def read(seed: int) -> int:
            choice, count = random.Random(seed), 0
            while not done.is_set():
                number = choice.randrange(len(tile_ids))
                try:
                    handle = store.read_tile_pixels(tile_ids[number])
                except TileNotFoundError:
                    continue
                pixels = bytes(memoryview(handle))
                handle.close()
                assert pixels == jpeg(int.from_bytes(pixels[25:29], "big"), 5_000)
                assert int.from_bytes(pixels[25:29], "big") // 1_000 == number
                count += 1
            return count

        def release() -> None:
            while not done.wait(0.001):
                subject.mapping_cache.release()
                subject.mapping_cache.drain_reads()

        with ThreadPoolExecutor(8) as threads:
            readers = [threads.submit(read, seed) for seed in range(3)]
            releasing = threads.submit(release)
            try:
                for _ in threads.map(own, range(len(tile_ids))):
                    pass
            finally:
                done.set()
            assert all(reader.result() > 0 for reader in readers)
            releasing.result()

    def test_a_rewritten_tile_is_not_served_from_what_was_kept_of_the_old_one(
        self, subject: TileStoreSubject
    ) -> None:
        one, pixels, again = subject.open(), jpeg(1), jpeg(2)
        one.write_tile(pixels, described(pixels))
        one.read_tile_pixels(IN_REAR).close()
        other = subject.open()
        other.delete_tile(IN_REAR)  # of which the first store does not know
        one.write_tile(again, described(again))
        with one.read_tile_pixels(IN_REAR) as handle:
            assert bytes(memoryview(handle)) == again
