"""The contract of stores that can be read, whether or not they can be written."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping

import attrs
import numpy as np
import pytest

from ...domain.errors import TileNotFoundError, TileRecalledError
from ...domain.policies.freshness import FreshnessVerdict
from ...domain.ports.tile_store import ReadableTiles, SupportsLocalReads
from ...domain.values.areas import Area
from ...domain.values.recall_list import CaptureRange, RecallList
from ...domain.values.tile_grid import Bbox, GridRange
from ...domain.values.tile_key import MORTON_BITS, VARIANT_BITS, VariantTable, encode_tile_key
from ...domain.values.tiles import TileId
from ...domain.values.timestamps import microseconds_of, timestamp_of


@attrs.frozen
class LocalReadsSubject:
    """A store, and all tiles that it holds: at least two, of one zoom below 22, two of them neighbours."""

    store: ReadableTiles
    tiles: Mapping[TileId, bytes]
    datasets: Mapping[TileId, str]
    """The datasets of those tiles that are of one: at least one tile is, and one is not."""
    recall: Callable[[RecallList], None] | None = None
    """Puts a recall list in force for the store; None for a store that heeds none."""


class LocalReadsContract:
    """Holds an implementation of `ReadableTiles`, or the reading half of a store, to its port."""

    @pytest.fixture
    def subject(self) -> LocalReadsSubject:
        """The store under test. Override it."""
        raise NotImplementedError

    def absent(self, subject: LocalReadsSubject) -> TileId:
        some = next(iter(subject.tiles))
        return TileId(some.zoom_level + 1, some.x, some.y, some.source, some.flight_id)

    def test_it_says_which_abilities_it_has(self, subject: LocalReadsSubject) -> None:
        assert isinstance(subject.store, SupportsLocalReads)
        assert isinstance(subject.store, ReadableTiles)
        assert len(subject.store) == len(subject.tiles)

    def test_every_tile_is_read_as_it_is(self, subject: LocalReadsSubject) -> None:
        store = subject.store
        for tile_id, pixels in [*subject.tiles.items(), *subject.tiles.items()]:
            assert store.tile_exists(tile_id)
            with store.read_tile_pixels(tile_id) as handle:
                assert handle.nbytes == len(pixels)
                with memoryview(handle) as view:
                    assert view.readonly
                    assert bytes(view) == pixels
            assert store.read_tile_bytes(tile_id) == pixels
            for timeout_s in (None, 60.0, 0, math.inf, np.float32(60)):
                with store.read_tile_pixels_within(tile_id, timeout_s) as handle:
                    assert bytes(memoryview(handle)) == pixels

    def test_a_handle_outlives_others_on_the_same_tile(self, subject: LocalReadsSubject) -> None:
        tile_id, pixels = next(iter(subject.tiles.items()))
        first = subject.store.read_tile_pixels(tile_id)
        second = subject.store.read_tile_pixels(tile_id)
        shared = second.share()
        second.close()
        first.close()
        assert bytes(memoryview(shared)) == pixels
        shared.close()

    def test_a_tile_that_is_not_here_is_not_found(self, subject: LocalReadsSubject) -> None:
        store, absent = subject.store, self.absent(subject)
        assert not store.tile_exists(absent)
        assert store.verdict(absent) is None
        assert store.captured_us(absent) is None
        assert store.content_sha256(absent) is None
        for read in (store.read_tile_pixels, store.read_tile_bytes):
            with pytest.raises(TileNotFoundError) as caught:
                read(absent)
            assert caught.value.tile_id == absent
        with pytest.raises(TileNotFoundError):
            store.read_tile_pixels_within(absent, 1.0)

    @pytest.mark.parametrize("wrong", [-1, math.nan])
    def test_an_impossible_time_to_wait_is_refused(self, subject: LocalReadsSubject, wrong: float) -> None:
        with pytest.raises(ValueError, match="timeout_s"):
            subject.store.read_tile_pixels_within(next(iter(subject.tiles)), wrong)

    def test_every_tile_has_a_verdict_and_a_capture_time(self, subject: LocalReadsSubject) -> None:
        for tile_id in subject.tiles:
            assert isinstance(subject.store.verdict(tile_id), FreshnessVerdict)
            entries = subject.store.query_by_bbox(tile_id.bbox, tile_id.zoom_level)
            (captured_at,) = [entry.captured_at for entry in entries if entry.tile_id == tile_id]
            assert subject.store.captured_us(tile_id) == microseconds_of(captured_at)

    def test_every_tile_says_which_dataset_it_is_of(self, subject: LocalReadsSubject) -> None:
        asked = [*subject.tiles, self.absent(subject)]
        expected = {tile_id: subject.datasets.get(tile_id) for tile_id in subject.tiles}
        assert subject.store.datasets_of(iter(asked)) == expected
        assert set(expected.values()) > {None}
        assert subject.store.datasets_of([]) == {}

    def test_every_tile_has_the_digest_of_its_bytes(self, subject: LocalReadsSubject) -> None:
        for tile_id, pixels in subject.tiles.items():
            assert subject.store.content_sha256(tile_id) == hashlib.sha256(pixels).hexdigest()

    def test_a_box_finds_the_tiles_that_cover_a_point_of_it(self, subject: LocalReadsSubject) -> None:
        world = Bbox(-85.0, -180.0, 85.0, 180.0)
        for zoom in {tile_id.zoom_level for tile_id in subject.tiles}:
            of_zoom = [tile_id for tile_id in subject.tiles if tile_id.zoom_level == zoom]
            for box in [world, *(tile_id.bbox for tile_id in of_zoom)]:
                cells = GridRange.covering(box, zoom)
                found = subject.store.query_by_bbox(box, zoom)
                assert set(found.tile_ids()) == {
                    tile_id for tile_id in of_zoom if (tile_id.x, tile_id.y) in cells
                }
                assert [entry.tile_id for entry in found] == found.tile_ids()
                places = [
                    encode_tile_key(t, VariantTable.naming([t])) >> VARIANT_BITS for t in found.tile_ids()
                ]
                assert places == sorted(places)
                assert (found.keys >> VARIANT_BITS == np.array(places, np.int64)).all()
                assert all(place >> MORTON_BITS == zoom for place in places)
                for entry in found:
                    assert entry.disk_bytes == len(subject.tiles[entry.tile_id])
        with pytest.raises(ValueError, match="zoom"):
            subject.store.query_by_bbox(world, 23)

    @pytest.mark.parametrize("kind", ["digest", "capture time", "area"])
    def test_exactly_the_recalled_tiles_are_not_read_any_more(
        self, subject: LocalReadsSubject, kind: str
    ) -> None:
        """Whether or not they were read before, and also when the list is replaced."""
        store, recall = subject.store, subject.recall
        if recall is None:
            pytest.skip("a store that heeds no recall list")
        for tile_id in list(subject.tiles)[::2]:
            store.read_tile_pixels(tile_id).close()
        for number, victim in enumerate(list(subject.tiles)[:4], 1):
            recalls = _recalling(number, kind, victim, store)
            recall(recalls)
            recalled = 0
            for tile_id, pixels in subject.tiles.items():
                entry = recalls.entry_for(
                    tile_id, store.captured_us(tile_id), hashlib.sha256(pixels).hexdigest()
                )
                found = store.query_by_bbox(tile_id.bbox, tile_id.zoom_level).tile_ids()
                verdict = store.verdict(tile_id)
                assert verdict is not None
                assert (tile_id in found) is (entry is None)
                assert verdict.recalled == (None if entry is None else f"list {number}: {entry}")
                for read in (store.read_tile_pixels, store.read_tile_bytes):
                    if entry is None:
                        assert bytes(memoryview(read(tile_id))) == pixels
                        continue
                    with pytest.raises(TileRecalledError) as caught:
                        read(tile_id)
                    assert (caught.value.tile_id, caught.value.entry) == (tile_id, entry)
                recalled += entry is not None
            assert recalled > 0
        recall(RecallList(number=9, reason="all is well"))
        for tile_id, pixels in subject.tiles.items():
            assert store.read_tile_bytes(tile_id) == pixels


def _recalling(number: int, kind: str, victim: TileId, store: ReadableTiles) -> RecallList:
    """A list that names a stored tile, at least."""
    digest, captured_us = store.content_sha256(victim), store.captured_us(victim)
    assert digest is not None
    assert captured_us is not None
    captured_at = timestamp_of(captured_us)
    return RecallList(
        number=number,
        reason="forged",
        digests=[digest] if kind == "digest" else [],
        captured=(CaptureRange(captured_at, captured_at),) if kind == "capture time" else (),
        areas=(Area([victim.bbox], [victim.zoom_level]),) if kind == "area" else (),
    )
