"""Writes of several rows in one transaction."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import attrs
import pytest

from ....domain.values.tiles import (
    MOST_COUNTED,
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileQualityMetadata,
    TileSource,
    VotingStatus,
)
from .subject import FLIGHT, NOW, OfTileRows, TileRowsSubject, described, imported


class Batches(OfTileRows):
    """Writes of several rows in one transaction."""

    def test_a_batch_names_its_duplicates_and_stores_the_rest(self, subject: TileRowsSubject) -> None:
        subject.store(described(imported(1)))
        with subject.rows.insert_many([described(imported(x)) for x in (0, 1, 2)], NOW) as rows:
            assert rows.finish_insert() == {imported(1)}
            inserted = dict(rows.inserted)
            stored = rows.commit()
        assert stored == inserted
        assert set(stored) == {imported(0), imported(2)}
        assert stored[imported(0)] == TileMetadataPersistent.of(described(imported(0)), created_at=NOW)
        assert subject.total() == 300

    def test_discarded_rows_of_a_batch_are_neither_stored_nor_counted(self, subject: TileRowsSubject) -> None:
        with subject.rows.insert_many([described(imported(x)) for x in range(4)], NOW) as rows:
            assert rows.finish_insert() == frozenset()
            rows.discard([imported(1), imported(3)])
            assert set(rows.inserted) == {imported(0), imported(2)}
            assert set(rows.commit()) == {imported(0), imported(2)}
        assert subject.committed() == {imported(0), imported(2)}
        assert subject.total() == 200

    def test_a_batch_left_without_commit_is_gone(self, subject: TileRowsSubject) -> None:
        with subject.rows.insert_many([described(imported(x)) for x in range(4)], NOW) as rows:
            rows.finish_insert()
        assert subject.committed() == set()
        assert subject.total() == 0

    @pytest.mark.parametrize("known", [0, 2])
    def test_a_batch_with_nothing_new_commits_nothing(self, subject: TileRowsSubject, known: int) -> None:
        tiles = [described(imported(x)) for x in range(known)]
        subject.store(*tiles)
        with subject.rows.insert_many(tiles, NOW) as rows:
            assert rows.commit() == {}
        assert subject.total() == known * 100

    def test_a_batch_that_names_a_tile_twice_is_refused(self, subject: TileRowsSubject) -> None:
        twice = [described(imported(1), 1), described(imported(1), 2)]
        with pytest.raises(ValueError, match="twice"), subject.rows.insert_many(twice, NOW):
            pass

    def test_batches_that_share_tiles_in_any_order_never_wait_for_each_other_in_a_circle(
        self,
        subject: TileRowsSubject,
    ) -> None:
        tiles = [described(imported(x)) for x in range(2000)]
        both_ready = threading.Barrier(2)

        def write(batch: list[TileMetadata]) -> int:
            both_ready.wait()
            with subject.rows.insert_many(batch, NOW) as rows:
                return len(rows.commit())

        with ThreadPoolExecutor(2) as pool:
            assert sum(pool.map(write, (tiles, tiles[::-1]))) == 2000
        assert subject.total() == 200_000

    def test_a_batch_of_many_kinds_of_tile_keeps_the_facts_of_each(self, subject: TileRowsSubject) -> None:
        plain = attrs.evolve(described(imported(3), 10), ground_sample_distance=2)
        onboard = TileMetadata(
            tile_id=TileId(12, 3, 0, TileSource.ONBOARD, FLIGHT),
            captured_at=NOW,
            content_sha256="f" * 64,
            disk_bytes=20,
            ground_sample_distance=3.0,
            voting_status=VotingStatus.TRUSTED,
            quality=TileQualityMetadata(0, 0, 0.5, 0.0),
        )
        other = attrs.evolve(
            onboard,
            tile_id=TileId(12, 3, 0, TileSource.ONBOARD, UUID(int=8)),
            quality=TileQualityMetadata(0.25, MOST_COUNTED, 1, 2),
            tile_size_pixels=MOST_COUNTED,
        )
        of_dataset = attrs.evolve(described(imported(4), 30), dataset="ortho-2025.v_1")
        subject.store(plain, onboard, other, of_dataset)
        for metadata in (plain, onboard, other, of_dataset):
            expected = TileMetadataPersistent.of(metadata, created_at=NOW)
            assert subject.rows.get(metadata.tile_id) == expected
