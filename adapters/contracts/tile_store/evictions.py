"""Evictions, and the access times that order them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ....domain.errors import EvictionRefusedError, StoreUnavailableError, TileNotFoundError
from ....domain.ports.tile_rows import TileRows
from ....domain.values.tiles import TileId
from .subject import IN_CONFLICT, IN_REAR, ONBOARD, OfTileStore, TileStoreSubject, described, jpeg


class _Unanswering:
    """Real rows that can't be asked about single tiles."""

    def __init__(self, inner: TileRows) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._inner, name)
        return method

    def committed_among(self, tile_ids: object) -> object:
        raise StoreUnavailableError("the database has gone")


class Evictions(OfTileStore):
    """Evictions, and the access times that order them."""

    @pytest.mark.parametrize("tile_id", [IN_REAR, ONBOARD])
    def test_only_a_tile_that_can_be_had_again_is_evicted(
        self, subject: TileStoreSubject, tile_id: TileId
    ) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels, tile_id))
        if tile_id is ONBOARD:
            with pytest.raises(EvictionRefusedError, match=f"tile {tile_id} may not be evicted"):
                store.evict_tile(tile_id)
            with store.read_tile_pixels(tile_id) as handle:
                assert bytes(memoryview(handle)) == pixels
        else:
            assert store.evict_tile(tile_id) == len(pixels)
            assert not store.tile_exists(tile_id)
            assert subject.on_disk() == {}
            with pytest.raises(TileNotFoundError):
                store.evict_tile(tile_id)

    def test_a_tile_that_may_not_be_evicted_is_read_all_the_time(self, subject: TileStoreSubject) -> None:
        subject.rows = _Unanswering(subject.rows)  # type: ignore[assignment] # delegates the rest
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels, ONBOARD))
        with pytest.raises(StoreUnavailableError):
            store.evict_tile(ONBOARD)
        store.read_tile_pixels(ONBOARD).close()

    def test_an_eviction_that_was_refused_corrects_the_catalogue(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels))
        with subject.rows.removing(IN_REAR):
            pass
        with pytest.raises(TileNotFoundError):
            store.evict_tile(IN_REAR)
        assert not store.tile_exists(IN_REAR)

    def test_reads_are_noted_for_eviction_and_writes_are_not(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        for tile_id in (IN_REAR, IN_CONFLICT, ONBOARD):
            store.write_tile(pixels, described(pixels, tile_id))
        assert subject.mapping_cache.drain_reads() == []
        for tile_id in (IN_REAR, IN_CONFLICT, IN_REAR):
            store.read_tile_pixels(tile_id).close()
        store.read_tile_bytes(ONBOARD)
        store.tile_exists(IN_CONFLICT)
        assert subject.mapping_cache.drain_reads() == [IN_CONFLICT, IN_REAR, ONBOARD]
        assert subject.mapping_cache.drain_reads() == []
