"""Writes of one row, alone and beside another writer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import attrs
import pytest

from ....domain.errors import DuplicateTileError, HeadroomTakenError
from ....domain.values.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileQualityMetadata,
    TileSource,
    VotingStatus,
)
from .subject import FLIGHT, NOW, OfTileRows, TileRowsSubject, described, imported


class Writers(OfTileRows):
    """Writes of one row, alone and beside another writer."""

    def test_a_committed_row_comes_back_as_it_was_given(self, subject: TileRowsSubject) -> None:
        metadata = TileMetadata(
            tile_id=TileId(22, 4194303, 0, TileSource.ONBOARD, FLIGHT),
            captured_at=NOW - timedelta(microseconds=1),
            content_sha256="0123456789abcdef" * 4,
            disk_bytes=2**40,
            tile_size_pixels=512,
            ground_sample_distance=0.1 + 0.2,
            freshness_label=FreshnessLabel.DOWNGRADED,
            voting_status=VotingStatus.PENDING,
            quality=TileQualityMetadata(1.5, 40, 0.75, 123.456789),
        )
        with subject.rows.insert(metadata, NOW) as row:
            stored = row.commit()
        assert stored == TileMetadataPersistent.of(metadata, created_at=NOW)
        assert subject.rows.get(metadata.tile_id) == stored
        assert list(subject.rows.committed()) == [stored]

    def test_a_row_says_which_dataset_its_tile_is_of(self, subject: TileRowsSubject) -> None:
        metadata = attrs.evolve(described(imported(1)), dataset="ortho-2025")
        with subject.rows.insert(metadata, NOW) as row:
            assert row.commit().dataset == "ortho-2025"
        stored = subject.rows.get(imported(1))
        assert stored == TileMetadataPersistent.of(metadata, created_at=NOW)

    def test_a_row_left_without_commit_is_gone(self, subject: TileRowsSubject) -> None:
        with subject.rows.insert(described(imported(1)), NOW) as row:
            row.finish_insert()
        with pytest.raises(KeyError), subject.rows.insert(described(imported(1)), NOW):
            raise KeyError  # before the answer to the INSERT was awaited
        assert subject.rows.get(imported(1)) is None
        assert subject.total() == 0

    def test_an_open_row_is_seen_by_nobody_else(self, subject: TileRowsSubject) -> None:
        with subject.rows.insert(described(imported(1)), NOW) as row:
            row.finish_insert()
            assert subject.rows.get(imported(1)) is None
            assert list(subject.rows.committed()) == []
            row.commit()
            assert subject.rows.get(imported(1)) is not None

    def test_a_second_row_of_a_tile_is_refused_at_once_and_the_first_stays(
        self, subject: TileRowsSubject
    ) -> None:
        subject.store(described(imported(1), 100))
        with (
            pytest.raises(DuplicateTileError) as refused,
            subject.rows.insert(described(imported(1), 200), NOW) as row,
        ):
            row.finish_insert()
        assert refused.value.tile_id == imported(1)
        stored = subject.rows.get(imported(1))
        assert stored is not None
        assert stored.disk_bytes == 100
        assert subject.total() == 100

    def test_refusals_do_not_spoil_the_writes_that_follow(self, subject: TileRowsSubject) -> None:
        rows = subject.with_budget(1200, None)
        for x in range(12):
            with rows.insert(described(imported(x)), NOW) as row:
                row.commit()
            with pytest.raises(DuplicateTileError), rows.insert(described(imported(x)), NOW) as row:
                row.finish_insert()
            with rows.insert(described(imported(99), 1201), NOW) as row, pytest.raises(HeadroomTakenError):
                row.commit()
        assert subject.committed() == {imported(x) for x in range(12)}

    def test_a_transaction_is_committed_once_only(self, subject: TileRowsSubject) -> None:
        with subject.rows.insert(described(imported(1)), NOW) as row:
            row.commit()
            with pytest.raises(ValueError, match="ended"):
                row.commit()
        with subject.rows.insert(described(imported(2)), NOW) as late:
            late.finish_insert()
        with pytest.raises(ValueError, match="ended"):
            late.commit()
        assert subject.total() == 100

    def test_of_two_writers_of_one_tile_exactly_one_wins(self, subject: TileRowsSubject) -> None:
        both_ready = threading.Barrier(2)

        def write(disk_bytes: int) -> int | None:
            both_ready.wait()
            try:
                with subject.rows.insert(described(imported(1), disk_bytes), NOW) as row:
                    row.commit()
            except DuplicateTileError:
                return None
            return disk_bytes

        with ThreadPoolExecutor(2) as pool:
            for x in range(20):
                winners = [size for size in pool.map(write, (1, 2)) if size is not None]
                assert len(winners) == 1, x
                stored = subject.rows.get(imported(1))
                assert stored is not None
                assert [stored.disk_bytes] == winners
                with subject.rows.removing(imported(1)):
                    pass

    def test_a_second_writer_gets_the_tile_when_the_first_gives_up(self, subject: TileRowsSubject) -> None:
        def write() -> TileMetadataPersistent:
            with subject.rows.insert(described(imported(1), 2), NOW) as row:
                return row.commit()

        with ThreadPoolExecutor(1) as pool:
            with subject.rows.insert(described(imported(1), 1), NOW) as first:
                first.finish_insert()
                second = pool.submit(write)
            assert second.result(timeout=30).disk_bytes == 2

    def test_times_without_a_zone_are_refused(self, subject: TileRowsSubject) -> None:
        naive = NOW.replace(tzinfo=None)
        with (
            pytest.raises(ValueError, match="created_at"),
            subject.rows.insert(described(imported(1)), naive),
        ):
            pass
        with pytest.raises(ValueError, match="at must be"):
            subject.rows.mark_files_missing([imported(1)], naive)
