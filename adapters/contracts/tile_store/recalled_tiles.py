"""Tiles that a recall list names: neither read nor written, from the call on that follows the list."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest

from ....domain.errors import TileNotFoundError, TileRecalledError
from ....domain.flight_events import EventKind
from ....domain.policies.freshness import FreshnessDecision
from ....domain.values.areas import Area
from ....domain.values.recall_list import CaptureRange, RecallList
from ....domain.values.tiles import TileId, TileSource
from .subject import IN_REAR, NOW, ONBOARD, OfTileStore, TileStoreSubject, described, jpeg

BESIDE = TileId(IN_REAR.zoom_level, IN_REAR.x + 9, IN_REAR.y, TileSource.SATELLITE_PROVIDER)
PIXELS, OTHERS = jpeg(1), jpeg(2)
DIGEST = hashlib.sha256(PIXELS).hexdigest()
DAY = timedelta(days=1)


def recalling(number: int, kind: str) -> RecallList:
    """A list that names IN_REAR, captured a day ago, and not BESIDE, captured now."""
    if kind == "digest":
        return RecallList(number=number, reason="forged", digests=[DIGEST])
    if kind == "capture time":
        return RecallList(number=number, reason="forged", captured=(CaptureRange(NOW - 2 * DAY, NOW - DAY),))
    return RecallList(number=number, reason="forged", areas=(Area([IN_REAR.bbox]),))


class RecalledTiles(OfTileStore):
    """Tiles that a recall list names: neither read nor written, from the call on that follows the list."""

    @pytest.mark.parametrize("verify_hash", [False, True])
    @pytest.mark.parametrize("kind", ["digest", "capture time", "area"])
    def test_a_tile_that_is_recalled_in_mid_flight_is_not_read_any_more(
        self, subject: TileStoreSubject, kind: str, verify_hash: bool
    ) -> None:
        store = subject.open(verify_hash=verify_hash)
        store.write_tile(PIXELS, described(PIXELS, age=DAY))
        store.write_tile(OTHERS, described(OTHERS, BESIDE))
        held = store.read_tile_pixels(IN_REAR)  # and cached from here on
        subject.recall_source.put(recalling(7, kind))
        subject.recalls.look()
        reads: list[Callable[[TileId], object]] = [
            store.read_tile_pixels,
            store.read_tile_bytes,
            lambda tile_id: store.read_tile_pixels_within(tile_id, 60.0),
        ]
        for read in [*reads, *reads]:
            with pytest.raises(TileRecalledError) as caught:
                read(IN_REAR)
            assert (caught.value.tile_id, caught.value.number) == (IN_REAR, 7)
            assert caught.value.reason == "forged"
        assert bytes(memoryview(held)) == PIXELS  # a handle that was opened before stays valid
        held.close()
        for _ in range(2):
            store.read_tile_pixels(BESIDE).close()
            assert store.read_tile_bytes(BESIDE) == OTHERS
        last = subject.recorder.events[-1]
        assert (last.kind, last.reason) == (EventKind.RECALLED, "read")
        assert last.payload == {"number": 7, "tiles": [str(IN_REAR)], "count": 1}

    def test_a_list_that_is_in_force_counts_for_a_store_that_is_opened(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open()
        store.write_tile(PIXELS, described(PIXELS))
        subject.recall_source.put(recalling(7, "digest"))
        store = subject.open()
        with pytest.raises(TileRecalledError):
            store.read_tile_pixels(IN_REAR)
        assert EventKind.RECALL_IN_FORCE in subject.kinds()

    def test_a_newer_list_that_does_not_name_a_tile_any_more_gives_it_back(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open()
        store.write_tile(PIXELS, described(PIXELS))
        for number in (7, 9):
            subject.recall_source.put(recalling(number, "area"))
            subject.recalls.look()
            with pytest.raises(TileRecalledError):
                store.read_tile_pixels(IN_REAR)
            subject.recall_source.put(RecallList(number=number + 1, reason="all is well"))
            subject.recalls.look()
            with store.read_tile_pixels(IN_REAR) as handle:
                assert bytes(memoryview(handle)) == PIXELS

    def test_a_recalled_tile_is_in_no_box_and_its_verdict_says_why(self, subject: TileStoreSubject) -> None:
        store = subject.open()
        store.write_tile(PIXELS, described(PIXELS))
        store.write_tile(OTHERS, described(OTHERS, BESIDE))
        assert len(store.query_by_bbox(IN_REAR.bbox, IN_REAR.zoom_level)) == 1
        subject.recall_source.put(recalling(7, "digest"))
        subject.recalls.look()
        assert store.query_by_bbox(IN_REAR.bbox, IN_REAR.zoom_level).tile_ids() == []
        found = store.query_by_bbox(BESIDE.bbox, BESIDE.zoom_level)
        assert [entry.tile_id for entry in found] == found.tile_ids() == [BESIDE]
        assert len(found.keys) == 1
        recalled, other = store.verdict(IN_REAR), store.verdict(BESIDE)
        assert recalled is not None
        assert recalled.decision is FreshnessDecision.REJECT
        assert recalled.recalled == f"list 7: digest {DIGEST}"
        assert other is not None
        assert (other.decision, other.recalled) == (FreshnessDecision.ACCEPT, None)

    @pytest.mark.parametrize("kind", ["digest", "capture time", "area"])
    def test_a_recalled_tile_is_not_written_and_its_batch_is(
        self, subject: TileStoreSubject, kind: str
    ) -> None:
        store = subject.open()
        subject.recall_source.put(recalling(7, kind))
        recalled = PIXELS, described(PIXELS, age=DAY)
        with pytest.raises(TileRecalledError):  # without a look: each write looks
            store.write_tile(*recalled)
        failed = subject.recorder.events[-1]
        assert (failed.kind, failed.reason) == (EventKind.WRITE_FAILED, "recall")
        assert "list 7" in failed.payload["message"]
        refused, stored = store.write_tiles([recalled, (OTHERS, described(OTHERS, BESIDE))])
        assert isinstance(refused.error, TileRecalledError)
        assert stored.error is None
        assert set(subject.committed()) == set(subject.on_disk()) == {BESIDE}

    def test_an_amended_capture_time_may_recall_a_tile(self, subject: TileStoreSubject) -> None:
        store = subject.open()
        subject.recall_source.put(recalling(7, "capture time"))
        store.write_tile(PIXELS, described(PIXELS))
        store.read_tile_pixels(IN_REAR).close()
        store.amend_capture_time(IN_REAR, NOW - DAY)
        with pytest.raises(TileRecalledError):
            store.read_tile_pixels(IN_REAR)
        store.amend_capture_time(IN_REAR, NOW)
        store.read_tile_pixels(IN_REAR).close()

    def test_a_tile_that_is_not_stored_is_not_found_whether_or_not_it_is_recalled(
        self, subject: TileStoreSubject
    ) -> None:
        subject.recall_source.put(RecallList(number=1, reason="all", areas=(Area([ONBOARD.bbox]),)))
        store = subject.open()
        for read in (store.read_tile_pixels, store.read_tile_bytes):
            with pytest.raises(TileNotFoundError):
                read(ONBOARD)
        assert store.verdict(ONBOARD) is None

    def test_a_recalled_tile_can_be_deleted(self, subject: TileStoreSubject) -> None:
        store = subject.open()
        store.write_tile(PIXELS, described(PIXELS))
        subject.recall_source.put(recalling(7, "digest"))
        subject.recalls.look()
        assert store.delete_tile(IN_REAR) == len(PIXELS)
        store.write_tile(OTHERS, described(OTHERS))
        store.read_tile_pixels(IN_REAR).close()
