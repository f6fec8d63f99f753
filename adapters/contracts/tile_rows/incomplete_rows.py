"""Rows without a hash, and rows whose file is missing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ....domain.errors import DuplicateTileError, TileNotFoundError
from .subject import LEGACY, NOW, OfTileRows, TileRowsSubject, described, imported


class IncompleteRows(OfTileRows):
    """Rows without a hash, and rows whose file is missing."""

    def test_a_missing_file_is_noted_once_and_unknown_tiles_are_ignored(
        self, subject: TileRowsSubject
    ) -> None:
        subject.store(described(imported(1)), described(imported(2)))
        subject.rows.mark_files_missing([imported(1), imported(9)], NOW)
        subject.rows.mark_files_missing([imported(1)], NOW + timedelta(hours=1))
        assert subject.files_missing() == {imported(1): NOW}
        assert subject.rows.get(imported(1)) is not None

    def test_rows_from_before_hashes_are_left_out_until_they_are_completed(
        self, subject: TileRowsSubject
    ) -> None:
        subject.add_legacy_row()
        subject.store(described(imported(1)))
        assert list(subject.rows.rows_without_hash()) == [LEGACY]
        assert subject.committed() == {imported(1)}
        assert subject.rows.get(LEGACY) is None
        subject.rows.fill_hash(LEGACY, "a" * 64, 40)
        assert list(subject.rows.rows_without_hash()) == []
        completed = subject.rows.get(LEGACY)
        assert completed is not None
        assert (completed.content_sha256, completed.disk_bytes) == ("a" * 64, 40)
        assert subject.total() == 140

    def test_a_tile_whose_row_has_no_hash_yet_is_a_duplicate_all_the_same(
        self, subject: TileRowsSubject
    ) -> None:
        subject.add_legacy_row()
        with pytest.raises(DuplicateTileError), subject.rows.insert(described(LEGACY), NOW) as row:
            row.finish_insert()
        with subject.rows.insert_many([described(LEGACY)], NOW) as rows:
            assert rows.finish_insert() == {LEGACY}

    def test_a_row_without_a_hash_can_be_removed_and_frees_nothing(self, subject: TileRowsSubject) -> None:
        subject.add_legacy_row()
        with subject.rows.removing(LEGACY) as freed:
            assert freed == 0
        assert list(subject.rows.rows_without_hash()) == []
        assert subject.total() == 0

    def test_only_a_row_without_a_hash_is_completed(self, subject: TileRowsSubject) -> None:
        subject.store(described(imported(1)))
        for tile_id in (imported(1), imported(2)):
            with pytest.raises(TileNotFoundError):
                subject.rows.fill_hash(tile_id, "a" * 64, 40)
        assert subject.total() == 100
