"""The contract of `TileMetadataStore`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from itertools import product
from typing import Any
from uuid import UUID

import attrs
import numpy as np
import pytest

from ...domain.errors import (
    ContentHashMismatchError,
    DuplicateTileError,
    TileMetadataError,
    TileNotFoundError,
)
from ...domain.policies.voting import may_move
from ...domain.ports.tile_metadata import SupportsPins, TileMetadataStore
from ...domain.values.tile_grid import Bbox
from ...domain.values.tiles import (
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileQualityMetadata,
    TileSource,
    VotingStatus,
)

NOW = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)

FLIGHT, OTHER_FLIGHT = UUID(int=7), UUID(int=8)

HASH = "c" * 64


def imported(x: int, y: int = 0, zoom_level: int = 12) -> TileId:
    return TileId(zoom_level, x, y, TileSource.IMPORTED)


def onboard(x: int, flight_id: UUID = FLIGHT) -> TileId:
    return TileId(12, x, 0, TileSource.ONBOARD, flight_id)


def described(tile_id: TileId, disk_bytes: int = 100) -> TileMetadata:
    return TileMetadata(
        tile_id=tile_id,
        captured_at=NOW,
        content_sha256=HASH,
        disk_bytes=disk_bytes,
        ground_sample_distance=1.25,
    )


@attrs.frozen
class TileMetadataStoreSubject:
    """A store under test, and an ability that the port does not offer."""

    store: TileMetadataStore
    insert_at: Callable[[TileMetadata, datetime], TileMetadataPersistent]
    """Insert a committed row with that creation time."""

    @property
    def pins(self) -> SupportsPins:
        """The store, which has pins as well."""
        assert isinstance(self.store, SupportsPins)
        return self.store

    def add(
        self, tile_id: TileId, minutes: int = 0, voting_status: VotingStatus | None = None
    ) -> TileMetadataPersistent:
        """Add a row whose creation and last access are `minutes` after NOW."""
        metadata = attrs.evolve(described(tile_id), voting_status=voting_status)
        return self.insert_at(metadata, NOW + timedelta(minutes=minutes))

    def known(self, tile_id: TileId) -> TileMetadataPersistent:
        found = self.store.get_by_id(tile_id)
        assert found is not None
        return found

    def pending(self, limit: int = 100) -> list[TileId]:
        return [tile.tile_id for tile in self.store.pending_uploads(limit)]

    def candidates(self, limit: int = 100) -> list[TileId]:
        return [tile.tile_id for tile in self.store.lru_candidates(limit)]


class TileMetadataStoreContract:
    """Holds a store without tiles, and with connections for 8 threads at once."""

    @pytest.fixture
    def subject(self) -> TileMetadataStoreSubject:
        """The store under test. Override it."""
        raise NotImplementedError

    def test_it_is_a_tile_metadata_store(self, subject: TileMetadataStoreSubject) -> None:
        assert isinstance(subject.store, TileMetadataStore)

    def test_inserted_metadata_comes_back_with_what_the_database_knows(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        metadata = attrs.evolve(
            described(onboard(3)),
            voting_status=VotingStatus.PENDING,
            quality=TileQualityMetadata(1.5, 40, 0.75, 12.5),
        )
        stored = subject.store.insert_metadata(metadata)
        assert subject.store.get_by_id(onboard(3)) == stored
        assert stored == TileMetadataPersistent.of(metadata, created_at=stored.created_at)
        assert stored.location_hash == imported(3).location_hash
        assert subject.store.total_disk_bytes() == 100

    def test_metadata_of_a_known_tile_is_refused(self, subject: TileMetadataStoreSubject) -> None:
        subject.store.insert_metadata(described(imported(1), 100))
        with pytest.raises(DuplicateTileError):
            subject.store.insert_metadata(described(imported(1), 200))
        assert subject.known(imported(1)).disk_bytes == 100
        assert subject.store.total_disk_bytes() == 100

    def test_an_unknown_tile_is_none(self, subject: TileMetadataStoreSubject) -> None:
        subject.add(onboard(1, OTHER_FLIGHT))
        assert subject.store.get_by_id(onboard(1)) is None

    def test_a_box_holds_the_tiles_that_touch_it_at_one_zoom_in_order(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        inside = [
            TileId(4, 9, 5, TileSource.SATELLITE_PROVIDER),
            TileId(4, 9, 5, TileSource.ONBOARD, OTHER_FLIGHT),
            TileId(4, 9, 5, TileSource.ONBOARD, FLIGHT),
            TileId(4, 9, 5, TileSource.IMPORTED),
            TileId(4, 8, 6, TileSource.IMPORTED),
            TileId(4, 8, 5, TileSource.IMPORTED),
        ]
        outside = [
            imported(7, 5, 4),
            imported(10, 5, 4),
            imported(8, 4, 4),
            imported(8, 7, 4),
            imported(9, 5, 5),
        ]
        for tile_id in inside + outside:
            subject.add(tile_id)
        middle = Bbox(
            imported(8, 6, 4).centre[0], 1.0, imported(8, 5, 4).centre[0], imported(9, 5, 4).centre[1]
        )
        assert [tile.tile_id for tile in subject.store.query_by_bbox(middle, 4)] == inside[::-1]

    def test_the_whole_world_is_a_box_too(self, subject: TileMetadataStoreSubject) -> None:
        corners = [imported(0, 0, 3), imported(0, 7, 3), imported(7, 0, 3), imported(7, 7, 3)]
        for tile_id in corners:
            subject.add(tile_id)
        found = subject.store.query_by_bbox(Bbox(-90.0, -180.0, 90.0, 180.0), 3)
        assert [tile.tile_id for tile in found] == corners

    @pytest.mark.parametrize("zoom_level", [-1, 23])
    def test_a_zoom_that_does_not_exist_is_refused(
        self, subject: TileMetadataStoreSubject, zoom_level: int
    ) -> None:
        with pytest.raises(ValueError, match="zoom_level"):
            subject.store.query_by_bbox(Bbox(0.0, 0.0, 1.0, 1.0), zoom_level)

    def test_a_vote_moves_forward(self, subject: TileMetadataStoreSubject) -> None:
        subject.add(onboard(1), voting_status=VotingStatus.PENDING)
        for status in (VotingStatus.TRUSTED, VotingStatus.TRUSTED, VotingStatus.UPLOAD_GIVEUP):
            assert subject.store.update_voting_status(onboard(1), status).voting_status is status
            assert subject.known(onboard(1)).voting_status is status

    def test_a_vote_never_moves_back(self, subject: TileMetadataStoreSubject) -> None:
        subject.add(onboard(1), voting_status=VotingStatus.REJECTED)
        with pytest.raises(TileMetadataError, match="go back from rejected to trusted"):
            subject.store.update_voting_status(onboard(1), VotingStatus.TRUSTED)
        assert subject.known(onboard(1)).voting_status is VotingStatus.REJECTED

    def test_exactly_the_steps_of_the_policy_are_taken(self, subject: TileMetadataStoreSubject) -> None:
        for x, (current, new) in enumerate(product((None, *VotingStatus), VotingStatus)):
            subject.add(onboard(x), voting_status=current)
            with nullcontext() if may_move(current, new) else pytest.raises(TileMetadataError):
                subject.store.update_voting_status(onboard(x), new)
            assert subject.known(onboard(x)).voting_status is (new if may_move(current, new) else current)

    def test_of_two_last_words_on_a_vote_at_once_only_one_is_taken(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        both_ready = threading.Barrier(2)

        def vote(tile_id: TileId, status: VotingStatus) -> bool:
            both_ready.wait()
            try:
                subject.store.update_voting_status(tile_id, status)
            except TileMetadataError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            for x in range(20):
                subject.add(onboard(x), voting_status=VotingStatus.PENDING)
                last_words = (VotingStatus.REJECTED, VotingStatus.UPLOAD_GIVEUP)
                taken = list(pool.map(vote, [onboard(x)] * 2, last_words))
                assert taken.count(True) == 1
                assert subject.known(onboard(x)).voting_status is last_words[taken.index(True)]

    def test_the_first_word_that_a_tile_is_uploaded_stays(self, subject: TileMetadataStoreSubject) -> None:
        subject.add(onboard(1))
        subject.store.mark_uploaded(onboard(1), NOW, HASH)
        subject.store.mark_uploaded(onboard(1), NOW + timedelta(hours=1), HASH)
        assert subject.known(onboard(1)).uploaded_at == NOW

    def test_a_tile_is_not_uploaded_when_the_provider_holds_something_else(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        subject.add(onboard(1))
        with pytest.raises(ContentHashMismatchError) as refused:
            subject.store.mark_uploaded(onboard(1), NOW, "d" * 64)
        assert (refused.value.expected, refused.value.actual) == (HASH, "d" * 64)
        assert subject.known(onboard(1)).uploaded_at is None

    def test_pending_are_onboard_tiles_that_nobody_has_settled_oldest_first(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        subject.add(onboard(1), minutes=5)
        subject.add(onboard(2), minutes=1, voting_status=VotingStatus.PENDING)
        subject.add(onboard(3), minutes=3, voting_status=VotingStatus.TRUSTED)
        subject.add(onboard(4), voting_status=VotingStatus.REJECTED)
        subject.add(onboard(5), voting_status=VotingStatus.UPLOAD_GIVEUP)
        subject.add(onboard(6))
        subject.store.mark_uploaded(onboard(6), NOW, HASH)
        subject.add(imported(7))
        assert subject.pending() == [onboard(2), onboard(3), onboard(1)]
        assert subject.pending(limit=2) == [onboard(2), onboard(3)]

    def test_candidates_come_least_recently_used_first(self, subject: TileMetadataStoreSubject) -> None:
        for x, minutes in ((1, 3), (2, 1), (3, 2)):
            subject.add(imported(x), minutes=minutes)
        assert subject.candidates() == [imported(2), imported(3), imported(1)]
        subject.store.record_lru_access({imported(2): NOW + timedelta(minutes=9)})
        assert subject.candidates(limit=2) == [imported(3), imported(1)]

    def test_pinned_tiles_and_tiles_pending_for_upload_are_no_candidates(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        subject.add(onboard(1))
        subject.add(onboard(2), voting_status=VotingStatus.TRUSTED)
        subject.add(imported(3))
        subject.pins.set_pinned(imported(3), True)
        assert subject.candidates() == []
        subject.add(onboard(5), minutes=2, voting_status=VotingStatus.REJECTED)
        subject.add(onboard(4), minutes=1, voting_status=VotingStatus.UPLOAD_GIVEUP)
        subject.add(onboard(6), minutes=3)
        subject.store.mark_uploaded(onboard(6), NOW, HASH)
        subject.add(TileId(12, 7, 0, TileSource.SATELLITE_PROVIDER), minutes=4)
        assert [tile.x for tile in subject.candidates()] == [4, 5, 6, 7]

    @pytest.mark.parametrize("wrong", [1, 0, "yes", None], ids=repr)
    def test_a_pin_that_is_no_truth_value_is_refused_by_name(
        self, subject: TileMetadataStoreSubject, wrong: Any
    ) -> None:
        subject.add(imported(1))
        with pytest.raises(ValueError, match=r"^pinned must be True or False, got "):
            subject.pins.set_pinned(imported(1), wrong)
        assert not subject.known(imported(1)).pinned

    def test_a_pin_holds_until_it_is_taken_out(self, subject: TileMetadataStoreSubject) -> None:
        subject.add(imported(1))
        subject.pins.set_pinned(imported(1), True)
        assert subject.known(imported(1)).pinned
        subject.pins.set_pinned(imported(1), False)
        assert subject.candidates() == [imported(1)]

    def test_numbers_of_numpy_are_taken(self, subject: TileMetadataStoreSubject) -> None:
        subject.add(onboard(1))
        box = onboard(1).bbox
        zoom = onboard(1).zoom_level
        assert subject.store.query_by_bbox(box, np.int64(zoom)) == subject.store.query_by_bbox(box, zoom)
        assert len(subject.store.query_by_bbox(box, np.int64(zoom))) == 1
        assert subject.pending(np.int64(2)) == [onboard(1)]
        assert subject.candidates(np.uint8(2)) == subject.candidates(2)

    def test_a_limit_beyond_every_count_of_the_database_is_no_limit(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        subject.add(onboard(1))
        assert subject.pending(limit=10**30) == [onboard(1)]
        assert subject.candidates(limit=1 << 63) == []

    @pytest.mark.parametrize("limit", [True, 2.0, "2", None])
    def test_a_limit_that_is_no_whole_number_is_refused(
        self, subject: TileMetadataStoreSubject, limit: Any
    ) -> None:
        for listing in (subject.store.pending_uploads, subject.store.lru_candidates):
            with pytest.raises(ValueError, match="limit must be 1 or more, got"):
                listing(limit)

    def test_pinned_tiles_are_listed_in_the_order_of_the_grid(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        assert subject.pins.pinned_tiles() == []
        pinned = [imported(5, zoom_level=11), imported(2), onboard(3), imported(3, 1), imported(7)]
        for tile_id in (*reversed(pinned), imported(9), onboard(1)):
            subject.add(tile_id)
        for tile_id in reversed(pinned):
            subject.pins.set_pinned(tile_id, True)
        assert subject.pins.pinned_tiles() == pinned
        subject.pins.set_pinned(imported(2), False)
        assert imported(2) not in subject.pins.pinned_tiles()

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_list_of_nothing_is_not_asked_for(self, subject: TileMetadataStoreSubject, limit: int) -> None:
        for listing in (subject.store.pending_uploads, subject.store.lru_candidates):
            with pytest.raises(ValueError, match="limit"):
                listing(limit)

    def test_the_time_of_the_last_read_never_goes_back(self, subject: TileMetadataStoreSubject) -> None:
        subject.add(imported(1), minutes=10)
        later = NOW + timedelta(minutes=20)
        subject.store.record_lru_access({imported(1): later})
        subject.store.record_lru_access({imported(1): later - timedelta(minutes=1)})
        assert subject.known(imported(1)).accessed_at == later

    def test_reads_of_many_tiles_are_noted_at_once_and_unknown_tiles_are_ignored(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        for x in range(50):
            subject.add(imported(x))
        reads = {imported(x): NOW + timedelta(seconds=x + 1) for x in range(25, 60)}
        subject.store.record_lru_access(reads)
        subject.store.record_lru_access({})
        assert all(subject.known(imported(x)).accessed_at == reads.get(imported(x), NOW) for x in range(50))

    def test_batches_of_reads_in_any_order_never_wait_for_each_other_in_a_circle(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        for x in range(60):
            subject.add(imported(x))

        def note(batch: int) -> None:
            order = range(60) if batch % 2 else range(59, -1, -1)
            subject.store.record_lru_access({imported(x): NOW + timedelta(seconds=batch) for x in order})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(note, range(1, 41)))
        accessed = {subject.known(imported(x)).accessed_at for x in range(60)}
        assert accessed == {NOW + timedelta(seconds=40)}

    def test_a_read_noted_without_a_zone_is_refused(self, subject: TileMetadataStoreSubject) -> None:
        subject.add(imported(1))
        with pytest.raises(ValueError, match="accessed_at"):
            subject.store.record_lru_access({imported(1): NOW.replace(tzinfo=None)})
        with pytest.raises(ValueError, match="uploaded_at"):
            subject.store.mark_uploaded(imported(1), NOW.replace(tzinfo=None), HASH)

    def test_upload_attempts_are_counted_one_by_one_by_any_number_of_threads(
        self, subject: TileMetadataStoreSubject
    ) -> None:
        subject.add(onboard(1))
        with ThreadPoolExecutor(8) as pool:
            counts = list(pool.map(lambda _: subject.store.increment_upload_attempts(onboard(1)), range(40)))
        assert sorted(counts) == list(range(1, 41))
        assert subject.known(onboard(1)).upload_attempts == 40

    def test_changes_to_an_unknown_tile_are_refused(self, subject: TileMetadataStoreSubject) -> None:
        subject.add(onboard(1, OTHER_FLIGHT))
        changes: list[Callable[[], object]] = [
            lambda: subject.store.update_voting_status(onboard(1), VotingStatus.TRUSTED),
            lambda: subject.store.mark_uploaded(onboard(1), NOW, HASH),
            lambda: subject.store.increment_upload_attempts(onboard(1)),
            lambda: subject.pins.set_pinned(onboard(1), True),
        ]
        for change in changes:
            with pytest.raises(TileNotFoundError) as refused:
                change()
            assert refused.value.tile_id == onboard(1)
