"""The disk budget: no commit exceeds it, beside other writers too."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ....domain.errors import CacheBudgetExhaustedError, HeadroomTakenError
from ....domain.values import disk_usage
from ....domain.values.disk_usage import DiskUsage
from .subject import NOW, OfTileRows, TileRowsSubject, described, imported, onboard


class BudgetOfRows(OfTileRows):
    """The disk budget: no commit exceeds it, beside other writers too."""

    @pytest.fixture(autouse=True)
    def blocks_of_one_byte(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tiles take their lengths, so that the numbers of these tests can be read."""
        monkeypatch.setattr(disk_usage, "BLOCK_BYTES", 1)
        monkeypatch.setattr(disk_usage, "PAIR_BYTES", 0)

    def test_a_commit_within_the_budget_to_the_last_byte_passes_and_one_byte_more_does_not(
        self,
        subject: TileRowsSubject,
    ) -> None:
        rows = subject.with_budget(300, None)
        with rows.insert(described(imported(1), 200), NOW) as row:
            row.commit()
        with rows.insert(described(imported(2), 100), NOW) as row:
            row.commit()
        with (
            rows.insert(described(imported(3), 1), NOW) as row,
            pytest.raises(HeadroomTakenError) as refused,
        ):
            row.commit()
        error = refused.value
        assert (error.needed_bytes, error.budget_bytes, error.total_bytes) == (1, 300, 300)
        assert isinstance(error, CacheBudgetExhaustedError)
        assert rows.get(imported(3)) is None
        assert subject.total() == 300

    def test_after_a_refused_commit_the_tile_is_still_kept_from_other_writers(
        self, subject: TileRowsSubject
    ) -> None:
        rows = subject.with_budget(100, None)

        def write() -> None:
            with rows.insert(described(imported(1), 50), NOW) as row:
                row.commit()

        with ThreadPoolExecutor(1) as pool:
            with rows.insert(described(imported(1), 101), NOW) as row:
                with pytest.raises(HeadroomTakenError):
                    row.commit()
                other = pool.submit(write)
                threading.Event().wait(0.3)
                assert not other.done()
            other.result(timeout=30)
        assert subject.total() == 50

    def test_a_batch_over_the_budget_is_refused_as_a_whole(self, subject: TileRowsSubject) -> None:
        rows = subject.with_budget(250, None)
        with (
            rows.insert_many([described(imported(x)) for x in range(3)], NOW) as batch,
            pytest.raises(HeadroomTakenError),
        ):
            batch.commit()
        assert subject.total() == 0
        assert subject.committed() == set()

    def test_onboard_tiles_are_held_to_their_share_and_others_are_not(self, subject: TileRowsSubject) -> None:
        rows = subject.with_budget(1000, 250)
        with rows.insert_many([described(t) for t in (onboard(1), onboard(2), imported(1))], NOW) as batch:
            batch.commit()
        assert rows.disk_usage() == DiskUsage(300, 300, 200)
        with rows.insert(described(onboard(3), 51), NOW) as row, pytest.raises(HeadroomTakenError) as refused:
            row.commit()
        error = refused.value
        assert (error.needed_bytes, error.budget_bytes, error.total_bytes) == (51, 250, 200)
        with rows.insert(described(imported(2), 600), NOW) as row:
            row.commit()
        with rows.insert(described(onboard(3), 50), NOW) as row:
            row.commit()
        with rows.removing(onboard(1)) as freed:
            assert freed == 100
        assert rows.disk_usage() == DiskUsage(850, 850, 150)

    def test_a_share_that_was_lowered_below_what_is_stored_stops_no_tile_of_the_map(
        self, subject: TileRowsSubject
    ) -> None:
        subject.store(described(onboard(1), 100))
        rows = subject.with_budget(1000, 50)
        with rows.insert(described(imported(1), 100), NOW) as row:
            row.commit()
        with rows.insert(described(onboard(2), 1), NOW) as row, pytest.raises(HeadroomTakenError):
            row.commit()

    def test_eight_writers_together_never_pass_the_budget(self, subject: TileRowsSubject) -> None:
        rows = subject.with_budget(1000, None)
        seen: list[int] = []

        def write(x: int) -> bool:
            try:
                with rows.insert(described(imported(x), 30), NOW) as row:
                    row.commit()
            except HeadroomTakenError:
                return False
            finally:
                seen.append(subject.total())
            return True

        with ThreadPoolExecutor(8) as pool:
            stored = sum(pool.map(write, range(80)))
        assert stored == 33
        assert max(seen) <= 1000
        assert subject.total() == 33 * 30 == sum(tile.disk_bytes for tile in subject.rows.committed())
