"""Reads: the parts of the store that they use, their deadline, and the tiles that they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from ....domain.errors import ContentHashMismatchError, TileNotFoundError
from ....domain.flight_events import EventKind
from ....domain.ports.tile_store import RecordsLookups
from ....domain.values.tiles import TileId, TileSource
from .subject import IN_CONFLICT, IN_REAR, ONBOARD, OfTileStore, TileStoreSubject, described, jpeg


class _Half:
    """Rows or files that a read must not use once they are silent."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.silent = False

    def __getattr__(self, name: str) -> Any:
        assert not self.silent, f"asked for {name}"
        return getattr(self._inner, name)


class Reads(OfTileStore):
    """Reads: the parts of the store that they use, their deadline, and the tiles that they refuse."""

    def test_a_lookup_that_came_to_nothing_is_recorded_with_five_names_at_most(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open()
        assert isinstance(store, RecordsLookups)
        tile_ids = [TileId(10, x, 0, TileSource.IMPORTED) for x in range(7)]
        store.record_unknown_candidates(tile_ids)
        (event,) = subject.recorder.events
        assert event.kind is EventKind.LOOKUP_UNKNOWN
        assert event.payload == {"tiles": [str(t) for t in tile_ids[:5]], "count": 7}

    def test_a_handle_outlives_the_deletion_of_its_tile(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels))
        handle = store.read_tile_pixels(IN_REAR)
        assert store.delete_tile(IN_REAR) == len(pixels)
        assert bytes(memoryview(handle)) == pixels
        handle.close()
        assert not store.tile_exists(IN_REAR)
        assert subject.committed() == {}
        assert subject.on_disk() == {}
        again = jpeg(2)
        store.write_tile(again, described(again))
        with store.read_tile_pixels(IN_REAR) as second:
            assert bytes(memoryview(second)) == again

    def test_a_tile_whose_file_is_gone_is_not_there_any_more(self, subject: TileStoreSubject) -> None:
        store, other, pixels = subject.open(), subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels))
        assert other.delete_tile(IN_REAR) == len(pixels)
        with pytest.raises(TileNotFoundError):
            store.read_tile_pixels(IN_REAR)
        assert not store.tile_exists(IN_REAR)

    def test_a_read_asks_no_database_and_of_an_unknown_tile_not_even_the_disk(
        self, subject: TileStoreSubject
    ) -> None:
        rows, files = _Half(subject.rows), _Half(subject.files)
        subject.rows = rows
        store, pixels = subject.open(files), jpeg(1)
        store.write_tile(pixels, described(pixels))
        files.place(files.stage(pixels, described(pixels, IN_CONFLICT)))
        rows.silent = True
        store.read_tile_pixels(IN_REAR).close()
        assert store.verdict(IN_REAR) is not None
        files.silent = True
        assert not store.tile_exists(IN_CONFLICT)
        with pytest.raises(TileNotFoundError):
            store.read_tile_pixels(ONBOARD)

    def test_damaged_pixels_are_refused_where_hashes_are_verified_and_never_kept(
        self, subject: TileStoreSubject
    ) -> None:
        pixels, damaged = jpeg(1), jpeg(2)
        for verify_hash in (False, True):
            store = subject.open(verify_hash=verify_hash)
            if not verify_hash:
                store.write_tile(pixels, described(pixels))
                subject.files.place(subject.files.stage(damaged, described(damaged)))
                store.read_tile_pixels(IN_REAR).close()
                assert store.read_tile_bytes(IN_REAR) == damaged
                continue
            for read in (store.read_tile_pixels, store.read_tile_bytes, store.read_tile_pixels):
                with pytest.raises(ContentHashMismatchError) as caught:
                    read(IN_REAR)
                assert caught.value.tile_id == IN_REAR
            assert subject.mapping_cache.counts().kept == 0
            subject.files.place(subject.files.stage(pixels, described(pixels)))
            with store.read_tile_pixels(IN_REAR) as handle:
                assert bytes(memoryview(handle)) == pixels
            assert store.read_tile_bytes(IN_REAR) == pixels

    def test_a_copy_of_the_bytes_is_read_without_keeping_the_tile(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels))
        assert store.read_tile_bytes(IN_REAR) == pixels
        assert subject.mapping_cache.counts().kept == 0
        store.delete_tile(IN_REAR)
        with pytest.raises(TileNotFoundError):
            store.read_tile_bytes(IN_REAR)

    def test_a_reader_may_say_how_long_it_waits(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels))
        for timeout_s in (None, 60.0, 0):
            with store.read_tile_pixels_within(IN_REAR, timeout_s) as handle:
                assert bytes(memoryview(handle)) == pixels
            subject.mapping_cache.invalidate(IN_REAR)
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError, match="timeout_s"):
                store.read_tile_pixels_within(IN_REAR, wrong)
        with pytest.raises(TileNotFoundError):
            store.read_tile_pixels_within(ONBOARD, 1.0)
