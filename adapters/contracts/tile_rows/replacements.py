"""Replaced rows: what changes, what stays, and what is not settled yet."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import attrs
import pytest

from ....domain.errors import HeadroomTakenError, StoreUnavailableError, TileNotFoundError
from ....domain.ports.tile_rows import TileRows
from ....domain.values import disk_usage
from ....domain.values.tiles import FreshnessLabel, TileId, TileMetadata, TileMetadataPersistent
from .subject import LEGACY, NOW, OfTileRows, TileRowsSubject, described, imported

LATER = NOW + timedelta(minutes=3)
TILE = imported(1)


def newer(tile_id: TileId = TILE, disk_bytes: int = 250) -> TileMetadata:
    return attrs.evolve(
        described(tile_id, disk_bytes),
        captured_at=NOW - timedelta(hours=1),
        freshness_label=FreshnessLabel.DOWNGRADED,
        ground_sample_distance=0.5,
        tile_size_pixels=512,
    )


def replace(rows: TileRows, metadata: TileMetadata) -> TileMetadataPersistent:
    with rows.replacing(metadata, LATER) as row:
        return row.commit()


class Replacements(OfTileRows):
    """Replaced rows: what changes, what stays, and what is not settled yet."""

    def test_a_replaced_row_is_as_just_inserted_but_for_its_pin(self, subject: TileRowsSubject) -> None:
        subject.store(described(TILE), described(imported(2)))
        subject.known.set_pinned(TILE, True)  # type: ignore[attr-defined] # both have it
        before = subject.rows.get(TILE)
        with subject.rows.replacing(newer(), LATER) as row:
            assert row.before == before
            stored = row.commit()
        expected = TileMetadataPersistent.of(newer(), created_at=LATER)
        assert stored == attrs.evolve(expected, pinned=True) == subject.rows.get(TILE)
        assert subject.rows.get(imported(2)) is not None
        assert subject.total() == 350
        usage = subject.rows.disk_usage()
        assert usage == disk_usage.DiskUsage.of(subject.rows.committed())

    def test_a_later_read_of_the_old_tile_keeps_its_time(self, subject: TileRowsSubject) -> None:
        subject.store(described(TILE))
        read_at = LATER + timedelta(minutes=1)
        subject.known.record_lru_access({TILE: read_at})
        assert replace(subject.rows, newer()).accessed_at == read_at

    def test_leaving_without_commit_changes_nothing(self, subject: TileRowsSubject) -> None:
        subject.store(described(TILE))
        before = subject.rows.get(TILE)
        with subject.rows.replacing(newer(), LATER):
            pass
        with pytest.raises(KeyError), subject.rows.replacing(newer(), LATER):
            raise KeyError
        assert subject.rows.get(TILE) == before
        assert subject.rows.unsettled() == set()
        assert subject.total() == 100

    def test_only_a_committed_row_can_be_replaced(self, subject: TileRowsSubject) -> None:
        subject.add_legacy_row()
        for tile_id in (TILE, LEGACY):
            with pytest.raises(TileNotFoundError), subject.rows.replacing(newer(tile_id), LATER):
                pass
        assert subject.rows.unsettled() == set()

    def test_a_replacement_is_unsettled_until_it_is_settled(self, subject: TileRowsSubject) -> None:
        subject.store(described(TILE), described(imported(2)))
        stored = replace(subject.rows, newer())
        assert subject.rows.unsettled() == subject.rows.unsettled([TILE, imported(2)]) == {TILE}
        assert subject.rows.unsettled([imported(2)]) == set()
        with pytest.raises(KeyError), subject.rows.settling(TILE):
            raise KeyError
        assert subject.rows.unsettled() == {TILE}
        with subject.rows.settling(TILE) as row:
            assert row == stored
        assert subject.rows.unsettled() == set()
        with subject.rows.settling(imported(2)) as row:
            assert row == subject.rows.get(imported(2))
        with subject.rows.settling(imported(3)) as row:
            assert row is None

    def test_a_tile_that_is_gone_is_settled_too(self, subject: TileRowsSubject) -> None:
        subject.store(described(TILE))
        replace(subject.rows, newer())
        with subject.rows.removing(TILE):
            pass
        with subject.rows.settling(TILE) as row:
            assert row is None
        assert subject.rows.unsettled() == set()

    def test_a_tile_that_was_written_anew_since_is_settled(self, subject: TileRowsSubject) -> None:
        subject.store(described(TILE))
        replace(subject.rows, newer())
        with subject.rows.removing(TILE):
            pass
        subject.store(described(TILE))
        assert subject.rows.unsettled() == subject.rows.unsettled([TILE]) == set()

    def test_replaced_once_more_it_is_unsettled_once_more(self, subject: TileRowsSubject) -> None:
        subject.store(described(TILE))
        replace(subject.rows, newer())
        replace(subject.rows, newer(disk_bytes=260))
        assert subject.rows.unsettled() == {TILE}
        with subject.rows.settling(TILE) as row:
            assert row is not None
            assert row.disk_bytes == 260
        assert subject.rows.unsettled() == set()

    def test_a_settling_keeps_a_removal_of_the_tile_waiting(self, subject: TileRowsSubject) -> None:
        subject.store(described(TILE))
        replace(subject.rows, newer())

        def remove() -> None:
            with subject.rows.removing(TILE) as freed:
                assert freed == 250

        with ThreadPoolExecutor(1) as pool:
            with subject.rows.settling(TILE):
                removal = pool.submit(remove)
                threading.Event().wait(0.3)
                assert not removal.done()
            removal.result()
        assert subject.rows.get(TILE) is None

    def test_of_two_replacers_the_second_sees_what_the_first_committed(
        self, subject: TileRowsSubject
    ) -> None:
        subject.store(described(TILE))

        def second() -> TileMetadataPersistent:
            with subject.rows.replacing(newer(disk_bytes=260), LATER) as row:
                return row.before

        with ThreadPoolExecutor(1) as pool:
            with subject.rows.replacing(newer(), LATER) as row:
                waiting = pool.submit(second)
                threading.Event().wait(0.3)
                assert not waiting.done()
                stored = row.commit()
            assert waiting.result() == stored

    def test_an_opening_waits_for_a_replacement_that_is_not_committed(self, subject: TileRowsSubject) -> None:
        subject.store(described(TILE))
        with (
            subject.rows.replacing(newer(), LATER),
            pytest.raises(StoreUnavailableError),
            subject.rows.locked(0.2),
        ):
            pass
        with subject.rows.locked(5.0):
            pass

    def test_the_difference_counts_against_the_budget_and_a_smaller_tile_always_fits(
        self, subject: TileRowsSubject, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk_usage, "BLOCK_BYTES", 1)
        monkeypatch.setattr(disk_usage, "PAIR_BYTES", 0)
        subject.store(described(TILE, 100), described(imported(2), 100))
        rows = subject.with_budget(300, None)
        with (
            rows.replacing(newer(disk_bytes=201), LATER) as row,
            pytest.raises(HeadroomTakenError) as refused,
        ):
            row.commit()
        assert (refused.value.needed_bytes, refused.value.total_bytes) == (101, 200)
        assert rows.unsettled() == set()
        replace(rows, newer(disk_bytes=200))
        assert subject.total() == 300
        lowered = subject.with_budget(50, None)
        replace(lowered, newer(disk_bytes=150))
        assert subject.total() == 250
